"""The end of an attempt and its effect on the job."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.db.engine import Database, database_now
from app.db.tables import Attempt, Job
from contracts.failure import FailureReason
from tests.app.player import Player
from tests.factories import make_checkpoint, make_metric


def make_ready(database: Database) -> None:
    """End the delay after a loss."""
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))


def test_a_wrong_token_or_an_ended_attempt_cannot_write_anything(player: Player) -> None:
    player.submit()
    claim = player.claim()
    wrong_token = claim.model_copy(update={"token": "wrong"})
    wrong_attempt = claim.model_copy(update={"attempt_id": "att_" + "0" * 24})

    for wrong in (wrong_token, wrong_attempt, claim.model_copy(update={"attempt_id": "%00"})):
        assert player.send_sync(wrong).status_code == 401
        assert player.put_artifact(wrong).status_code == 401
        assert player.finish(wrong, "cancelled").status_code == 401

    player.finish(claim, "interrupted")
    for late in (
        player.send_sync(claim),
        player.put_artifact(claim),
        player.finish(claim, "failed"),
    ):
        assert late.status_code == 409
        assert late.json()["error"]["code"] == "attempt_superseded"
        assert late.headers["x-should-retry"] == "false"


def test_a_success_requires_every_record_and_an_adapter(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    missing = player.finish(claim, "succeeded", last_seq=1)
    assert missing.status_code == 409
    assert missing.json()["error"]["code"] == "records_missing"
    assert missing.json()["error"]["hint"] == "acked_seq=0"
    assert "x-should-retry" not in missing.headers
    player.sync(claim, make_metric(1))
    assert player.finish(claim, "succeeded", 1).json()["error"]["code"] == "artifacts_missing"

    player.succeed(claim, last_seq=1)
    assert player.finish(claim, "succeeded", 1).json() == {"job_status": "succeeded"}
    seen = player.job(job)
    assert (seen["status"], seen["eval_loss"], seen["phase"]) == ("succeeded", 1.6, None)
    assert player.get(f"/v1/jobs/{job}/attempts")["data"][0]["status"] == "succeeded"


def test_a_failure_is_shown_in_the_users_language(player: Player) -> None:
    job = player.submit()

    status = player.fail(player.claim(), FailureReason.OOM_GPU, detail="tried 3 GiB", step=7)

    assert status == "failed"
    english = player.job(job)["error"]
    chinese = player.client.get(f"/v1/jobs/{job}", headers={"Accept-Language": "zh"}).json()[
        "error"
    ]
    assert english["code"] == chinese["code"] == "oom_gpu"
    assert english["message"] == "The GPU ran out of memory."
    assert chinese["message"] == "显存不足。"
    assert (english["detail"], english["step"]) == ("tried 3 GiB", 7)
    assert player.get(f"/v1/jobs/{job}/attempts")["data"][0]["error"]["code"] == "oom_gpu"


def test_a_job_whose_process_was_killed_is_retried_after_a_delay_but_not_forever(
    player: Player, database: Database
) -> None:
    job = player.submit()

    for expected, delay in (("queued", 10), ("queued", 20)):
        assert player.fail(player.claim(), FailureReason.CHILD_KILLED) == expected
        assert player.post_claim().status_code == 204, "the delay after a loss"
        with database.reading() as session:
            not_before = session.scalars(select(Job.not_before)).one()
            assert not_before is not None
            left = (not_before - database_now(session)).total_seconds()
        assert delay - 5 < left <= delay
        make_ready(database)
    assert player.fail(player.claim(), FailureReason.CHILD_KILLED) == "failed"

    assert player.job(job)["error"]["code"] == "attempts_exhausted"
    assert [a["status"] for a in player.get(f"/v1/jobs/{job}/attempts")["data"]] == ["failed"] * 3


def test_a_new_checkpoint_resets_the_count_of_lost_attempts(
    player: Player, database: Database
) -> None:
    player.submit()

    # The checkpoint in attempt 3 comes between losses 2 and 3; the same step in attempt 4 is not new.
    for checkpoint_step, expected in (
        (0, "queued"),
        (0, "queued"),
        (50, "queued"),
        (50, "queued"),
        (0, "failed"),
    ):
        claim = player.claim()
        if checkpoint_step:
            player.sync(claim, make_checkpoint(1, checkpoint_step))
        assert player.fail(claim, FailureReason.CHILD_KILLED) == expected
        make_ready(database)


def test_an_interruption_keeps_the_queue_position_and_is_not_counted_as_a_loss(
    player: Player, database: Database
) -> None:
    dataset = {"train": player.upload()}
    first = player.submit(dataset=dataset)
    player.submit(dataset=dataset)

    for _ in range(4):
        claim = player.claim()
        assert claim.job_id == first
        assert player.finish(claim, "interrupted", step=3).json() == {"job_status": "queued"}
        assert player.job(first)["queue_position"] == 1
    with database.reading() as session:
        assert session.scalar(select(Job.losses).where(Job.id == first)) == 0


@pytest.mark.parametrize("ending", ["interrupted", "failed"])
def test_a_job_with_a_pending_cancel_is_not_queued_again(player: Player, ending: str) -> None:
    job = player.submit()
    claim = player.claim()
    player.client.post(f"/v1/jobs/{job}/cancel")

    if ending == "failed":
        assert player.fail(claim, FailureReason.CHILD_KILLED) == "cancelled"
    else:
        assert player.finish(claim, ending).json() == {"job_status": "cancelled"}
    assert player.job(job)["status"] == "cancelled"


def test_a_job_is_unreachable_from_the_end_of_its_lease_until_the_next_sync(
    player: Player, database: Database
) -> None:
    job = player.submit()
    claim = player.claim()
    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(update(Attempt).values(lease_expires_at=past))
    assert player.job(job)["unreachable"] is True
    assert player.get(f"/v1/jobs/{job}/attempts")["data"][0]["unreachable"] is True

    player.sync(claim)

    assert player.job(job)["unreachable"] is False


def test_a_job_is_queued_again_immediately_when_its_worker_returns_without_it(
    player: Player,
) -> None:
    job = player.submit()
    claim = player.claim(idle={"slot": "s", "turn": 1})
    player.sync(claim, make_metric(1))

    player.hello(idle={"slot": "other", "turn": 9})
    assert player.job(job)["status"] == "running", (
        "a report about another slot does not end the attempt"
    )
    player.hello(idle={"slot": "s", "turn": 2})

    assert player.job(job)["status"] == "queued"
    assert player.get(f"/v1/jobs/{job}/attempts")["data"][0]["status"] == "lost"
    events = player.get(f"/v1/jobs/{job}/events")["data"]
    assert [event["code"] for event in events][-2:] == ["attempt_abandoned", "job_requeued"]
    assert player.send_sync(claim).status_code == 409
    assert player.claim(idle={"slot": "s", "turn": 3}).number == 2


def test_a_stale_idle_report_does_not_end_an_attempt(player: Player) -> None:
    job = player.submit()
    player.submit()
    claim = player.claim(idle={"slot": "s", "turn": 5})

    player.hello(idle={"slot": "s", "turn": 5})
    player.hello(idle={"slot": "s", "turn": 4})
    assert player.post_claim(idle={"slot": "s", "turn": 4}).status_code == 204

    assert player.job(job)["status"] == "running"
    player.sync(claim)


def test_an_attempt_never_delivered_to_its_worker_is_not_counted_as_a_failure(
    player: Player,
) -> None:
    job = player.submit()
    for turn in range(1, 8):
        claim = player.claim(idle={"slot": "s", "turn": turn})
        assert (claim.job_id, claim.number) == (job, turn)

    attempts = player.get(f"/v1/jobs/{job}/attempts")["data"]
    assert [attempt["status"] for attempt in attempts] == ["interrupted"] * 6 + ["running"]
    codes = [event["code"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]
    assert codes.count("attempt_undelivered") == 6


def test_an_idle_report_from_another_worker_does_not_end_an_attempt(player: Player) -> None:
    job = player.submit()
    player.claim(idle={"slot": "s", "turn": 1})

    player.hello(worker_id="worker-2", idle={"slot": "s", "turn": 2})

    assert player.job(job)["status"] == "running"
