import hashlib
from typing import Any

import pytest
from sqlalchemy import func, select

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import CheckpointBlob
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.protocol.wire import CHECKPOINT_PATH
from contracts.record import CheckpointRecord
from tests.app.player import Player
from tests.app.sweep.test_sweep import end_retry_delays
from tests.factories import make_metric

TENSORS, STATE = b"t" * 700_000, b"{}"


def record_checkpoint(player: Player, claim: Claim, seq: int, step: int) -> None:
    player.sync(claim, CheckpointRecord(seq=seq, at=utc_now(), step=step, name="c", bytes=3))


def listed(player: Player, job: str) -> list[Any]:
    data: list[Any] = player.get(f"/v1/jobs/{job}/checkpoints")["data"]
    return data


def files_on_disk(settings: Settings) -> int:
    return sum(path.is_file() for path in (settings.data_dir / "checkpoints").rglob("*"))


def test_a_checkpoint_is_stored_once_all_its_files_have_arrived(
    player: Player, settings: Settings
) -> None:
    job = player.submit()
    claim = player.claim()

    refused = player.offer(claim, 5, tensors=TENSORS)
    assert refused.json()["error"]["code"] == "checkpoint_not_recorded"
    record_checkpoint(player, claim, 1, 5)
    assert [(c["step"], c["bytes"], c["stored"]) for c in listed(player, job)] == [(5, 3, False)]

    missing = player.offer(claim, 5, tensors=TENSORS, state=STATE).json()
    assert missing["stored"] is False
    assert len(missing["missing"]) == 2
    assert player.put_file(claim, TENSORS).status_code == 201
    assert player.put_file(claim, TENSORS).status_code == 200, "already uploaded"
    assert len(player.offer(claim, 5, tensors=TENSORS, state=STATE).json()["missing"]) == 1
    assert player.put_file(claim, STATE).status_code == 201
    for _ in range(2):
        reply = player.offer(claim, 5, tensors=TENSORS, state=STATE).json()
        assert reply == {"missing": [], "stored": True}

    [seen] = listed(player, job)
    assert (seen["stored"], seen["bytes"], seen["attempt"]) == (True, 700_002, 1)
    assert files_on_disk(settings) == 2
    codes = [event["code"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]
    assert codes[-2:] == ["checkpoint", "checkpoint_stored"]


def test_a_checkpoint_after_a_gap_waits_for_the_missing_records(player: Player) -> None:
    player.submit()
    claim = player.claim()
    record_checkpoint(player, claim, 3, 5)

    refused = player.offer(claim, 5, tensors=b"x")
    assert refused.json()["error"]["code"] == "checkpoint_not_recorded"
    player.sync(claim, make_metric(1), make_metric(2))
    assert player.offer(claim, 5, tensors=b"x").json()["stored"] is False


def test_an_older_worker_gets_an_error_code_that_it_understands(player: Player) -> None:
    player.submit()
    claim = player.claim()

    refused = player.offer(claim, 5, codes_version=None, tensors=b"x")

    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "checkpoint_untold"


def test_checkpoint_files_that_are_damaged_or_were_not_offered_are_rejected(
    player: Player, settings: Settings
) -> None:
    player.submit()
    claim = player.claim()
    record_checkpoint(player, claim, 1, 5)

    assert player.put_file(claim, b"x").json()["error"]["code"] == "checkpoint_file_not_found"
    player.offer(claim, 5, tensors=b"x")
    damaged = player.put_file(claim, b"y", sha256=hashlib.sha256(b"x").hexdigest())
    assert damaged.json()["error"]["code"] == "checksum_mismatch"
    assert files_on_disk(settings) == 0
    path = CHECKPOINT_PATH.format(attempt_id=claim.attempt_id)
    for name in ("../tensors", ".hidden", "a/b", ""):
        file = {"name": name, "sha256": "0" * 64, "bytes": 1}
        body = {"step": 5, "name": "c", "files": [file]}
        headers = {"Authorization": f"Bearer {claim.token}"}
        assert player.client.post(path, json=body, headers=headers).status_code == 400


def test_a_superseded_attempt_cannot_store_or_fetch_anything(player: Player) -> None:
    player.submit()
    claim = player.claim()
    player.checkpoint(claim, 1, 5)
    record_checkpoint(player, claim, 2, 6)
    player.offer(claim, 6, tensors=b"x")
    player.finish(claim, "interrupted", 2)
    second = player.claim()

    for response in (
        player.offer(claim, 6, tensors=b"x"),
        player.put_file(claim, b"x"),
        player.get_file(claim, second.resume[0].files[0].sha256),
        player.post_earlier(claim, 1, make_metric(7)),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (
            409,
            "attempt_superseded",
        )


def test_the_next_attempt_gets_its_resume_points_and_their_files(player: Player) -> None:
    player.submit()
    claim = player.claim()
    last = player.checkpoint(claim, 1, 5)
    last = player.checkpoint(claim, last + 1, 10)
    player.finish(claim, "interrupted", last)

    second = player.claim()

    assert [(point.step, point.attempt) for point in second.resume] == [(10, 1), (5, 1)]
    newest = second.resume[0]
    assert newest.origin.train_revision == "r1"
    [file] = newest.files
    response = player.get_file(second, file.sha256)
    assert (len(response.content), response.status_code) == (file.bytes, 200)
    assert hashlib.sha256(response.content).hexdigest() == file.sha256
    [before] = second.earlier
    assert (before.attempt_id, before.acked_seq, before.usable_to_step) == (
        claim.attempt_id,
        last,
        None,
    )
    assert player.get_file(second, "0" * 64).status_code == 404


def test_no_attempt_resumes_from_a_checkpoint_that_a_later_attempt_replaced(player: Player) -> None:
    player.submit()
    claim = player.claim()
    last = player.checkpoint(claim, 1, 5)
    last = player.checkpoint(claim, last + 1, 10)
    player.finish(claim, "interrupted", last)
    second = player.claim()
    player.sync(second, make_metric(1, step=6))  # as if the checkpoint at step 10 were damaged
    player.finish(second, "interrupted", 1)

    third = player.claim()

    assert [(point.step, point.attempt) for point in third.resume] == [(5, 1)]
    assert [(e.number, e.usable_to_step) for e in third.earlier] == [(2, None), (1, 5)]


def test_the_newest_checkpoints_and_the_best_one_are_kept_with_their_files(
    player: Player, database: Database, settings: Settings
) -> None:
    job = player.submit(checkpoint={"keep": 2})
    claim = player.claim()

    seq = 0
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, None), (5, 2.5)):
        seq = player.checkpoint(claim, seq + 1, step, loss)

    seen = listed(player, job)
    assert [(c["step"], c["eval_loss"], c["best"]) for c in seen] == [
        (5, 2.5, False),
        (4, None, False),
        (2, 1.0, True),
    ]
    assert files_on_disk(settings) == 3
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CheckpointBlob)) == 3
    player.finish(claim, "cancelled", seq)
    player.client.delete(f"/v1/jobs/{job}")
    assert files_on_disk(settings) == 0


def test_a_checkpoint_being_uploaded_is_kept_while_newer_ones_are_recorded(player: Player) -> None:
    job = player.submit(checkpoint={"keep": 1})
    claim = player.claim()
    record_checkpoint(player, claim, 1, 5)
    record_checkpoint(player, claim, 2, 6)
    player.offer(claim, 6, tensors=TENSORS, state=STATE)
    player.put_file(claim, TENSORS)
    record_checkpoint(player, claim, 3, 7)
    record_checkpoint(player, claim, 4, 8)

    assert [c["step"] for c in listed(player, job)] == [8, 6]
    assert player.put_file(claim, STATE).status_code == 201
    assert player.offer(claim, 6, tensors=TENSORS, state=STATE).json()["stored"] is True

    player.offer(claim, 8, tensors=b"8")
    record_checkpoint(player, claim, 5, 9)
    player.offer(claim, 9, tensors=b"9")
    record_checkpoint(player, claim, 6, 10)
    assert [(c["step"], c["stored"]) for c in listed(player, job)] == [
        (10, False),
        (9, False),
        (6, True),
    ], "the checkpoint at step 8 was replaced by a newer one"


def test_a_file_shared_by_two_checkpoints_is_uploaded_once(
    player: Player, settings: Settings
) -> None:
    player.submit(checkpoint={"keep": 1})
    claim = player.claim()
    record_checkpoint(player, claim, 1, 5)
    player.offer(claim, 5, tensors=b"5", state=b"same")
    player.put_file(claim, b"5")
    player.put_file(claim, b"same")
    assert player.offer(claim, 5, tensors=b"5", state=b"same").json()["stored"] is True

    record_checkpoint(player, claim, 2, 6)
    missing = player.offer(claim, 6, tensors=b"6", state=b"same").json()["missing"]

    assert missing == [hashlib.sha256(b"6").hexdigest()]
    player.put_file(claim, b"6")
    assert player.offer(claim, 6, tensors=b"6", state=b"same").json()["stored"] is True
    assert files_on_disk(settings) == 2, "the file of step 5 was deleted"


def test_a_retried_job_resumes_from_its_newest_checkpoint(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    last = player.checkpoint(claim, 1, 5)
    player.finish(claim, "cancelled", last)

    player.client.post(f"/v1/jobs/{job}/retry")

    assert [point.step for point in player.claim().resume] == [5]


def test_the_next_attempt_uploads_records_that_an_earlier_one_left_on_disk(
    player: Player, database: Database
) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, make_metric(1))
    player.finish(claim, "interrupted", 1)
    end_retry_delays(database)
    second = player.claim()

    for _ in range(2):
        reply = player.post_earlier(second, 1, make_metric(2), make_metric(3))
        assert reply.json() == {"acked_seq": 3}
    player.sync(second, make_metric(1, step=4))

    points = player.get(f"/v1/jobs/{job}/loss")["data"]
    assert [(point["step"], point["attempt"]) for point in points] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 2),
    ]
    assert player.post_earlier(second, 2, make_metric(9)).status_code == 404, (
        "attempt 2 is the uploading attempt itself"
    )
    assert player.post_earlier(second, 7, make_metric(9)).status_code == 404


def test_each_supervisor_note_becomes_one_event(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    notes = [
        {
            "number": 1,
            "code": "checkpoint_damaged",
            "level": "warning",
            "figures": {"step": 5, "of_attempt": 1, "reason": "a\0b", "level": "x", "attempt": 3},
        },
        {"number": 2, "code": "starting_over"},
    ]

    assert player.sync(claim, notes=notes[1:]).acked_note == 0, "the first note is missing"
    for _ in range(2):
        assert player.sync(claim, notes=notes).acked_note == 2

    events = player.get(f"/v1/jobs/{job}/events")["data"][2:]
    assert [event["message"] for event in events] == [
        "Skipped the damaged checkpoint at step 5 (attempt 1): ab",
        "No checkpoint is usable. Starting from the first step.",
    ]
    assert events[0]["level"] == "warning"


@pytest.mark.parametrize("job", ["job_" + "0" * 24, "%00"])
def test_the_checkpoints_of_a_missing_job_are_not_found(player: Player, job: str) -> None:
    assert player.client.get(f"/v1/jobs/{job}/checkpoints").status_code == 404
