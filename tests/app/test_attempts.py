import json
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.db.engine import Database, database_now
from app.db.tables import Attempt, Job, Record
from contracts.attempt import AttemptStatus, Claim
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import CheckpointRecord, EvalRecord, GapRecord, LogRecord, PhaseRecord
from contracts.wire import CLAIM_PATH, DATASET_PATH, HELLO_PATH, SHA256_HEADER, SYNC_PATH
from tests.app.player import WORKER, Player
from tests.factories import make_metric


def make_checkpoint(seq: int, step: int) -> CheckpointRecord:
    return CheckpointRecord(seq=seq, at=utc_now(), step=step, name=f"step-{step}")


def make_ready(database: Database) -> None:
    """End the delay after a loss."""
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))


def test_a_claim_contains_everything_that_a_worker_needs(
    player: Player, database: Database
) -> None:
    train, held_out = player.upload(12), player.upload(4, "e")
    job = player.submit(dataset={"train": train, "eval": held_out})

    claim = player.claim()

    assert (claim.job_id, claim.number) == (job, 1)
    assert claim.spec.dataset.train == train
    assert claim.train.rows == 12  # type: ignore[union-attr]  # uploaded, not from the hub
    assert claim.eval is not None
    assert (claim.lease_seconds, claim.sync_seconds, claim.flush_seconds) == (45, 10, 0.5)
    with database.reading() as session:
        stored = session.scalars(select(Attempt)).one()
    assert claim.token not in stored.token_sha256
    seen = player.job(job)
    assert (seen["status"], seen["phase"], seen["attempt"]) == ("running", "placing", 1)
    assert seen["started_at"] is not None
    assert claim.submitted_at == datetime.fromisoformat(seen["created_at"])


def test_only_the_worker_token_grants_access(player: Player) -> None:
    for path, body in (
        (CLAIM_PATH, {"worker": {"worker_id": "w"}}),
        (HELLO_PATH, {"worker_id": "w"}),
    ):
        for header in ("", "Bearer wrong", "Basic abc", "Bearer ", "Bearer \xff\xfe"):
            headers = [(b"Authorization", header.encode("latin-1"))] if header else []
            response = player.client.post(path, json=body, headers=headers)
            assert response.status_code == 401
            assert response.json()["error"]["code"] == "invalid_token"
            assert response.headers["www-authenticate"] == "Bearer"


def test_a_job_goes_to_a_worker_that_has_its_model(player: Player) -> None:
    job = player.submit(model="rare")
    player.hello(worker_id="has-it", models=["rare"])

    assert player.post_claim(worker_id="lacks-it", models=["common"]).status_code == 204
    assert player.claim(worker_id="has-it", models=["rare"]).job_id == job


def test_a_job_whose_model_no_worker_has_is_claimed_so_that_it_fails_with_a_reason(
    player: Player,
) -> None:
    job = player.submit(model="nowhere")

    assert player.claim(worker_id="lacks-it", models=["common"]).job_id == job


def test_a_worker_without_the_hub_skips_jobs_whose_model_another_worker_can_download(
    player: Player,
) -> None:
    player.submit(model="on-the-hub")
    player.hello(worker_id="online", models=None)

    assert player.post_claim(worker_id="offline", models=["common"]).status_code == 204
    assert player.post_claim(worker_id="online", models=None).status_code == 200


def test_records_are_stored_once_however_often_they_are_sent(
    player: Player, database: Database
) -> None:
    job = player.submit()
    claim = player.claim()
    records = [make_metric(n, loss=3.0 - n / 10) for n in range(1, 6)]

    assert player.sync(claim, *records[:3]).acked_seq == 3
    assert player.sync(claim, *records[1:5]).acked_seq == 5
    assert player.sync(claim, *records, *records).acked_seq == 5

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Record)) == 5
    assert [point["step"] for point in player.get(f"/v1/jobs/{job}/loss")["data"]] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert player.job(job)["last_loss"] == 2.5


def test_records_after_a_gap_wait_until_the_gap_is_filled(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    assert player.sync(claim, make_metric(1), make_metric(4)).acked_seq == 1
    assert len(player.get(f"/v1/jobs/{job}/loss")["data"]) == 1
    assert player.finish(claim, "cancelled", last_seq=4).status_code == 409

    assert player.sync(claim, make_metric(3), make_metric(2, loss=9.0)).acked_seq == 4
    assert len(player.get(f"/v1/jobs/{job}/loss")["data"]) == 4
    seen = player.job(job)
    assert (seen["progress"]["step"], seen["last_loss"]) == (4, 2.0), (
        "late records do not lower the progress"
    )
    assert player.finish(claim, "cancelled", last_seq=4).status_code == 200


def test_progress_phase_and_time_left_follow_the_records(player: Player) -> None:
    job = player.submit(evaluation={"every_steps": 4})
    claim = player.claim()
    at = utc_now()

    assert player.job(job)["eta_seconds"] is None
    player.sync(claim, phase=Phase.PLACING)
    player.sync(
        claim,
        PhaseRecord(seq=1, at=at, phase=Phase.TRAINING, total_steps=10),
        EvalRecord(seq=2, at=at, step=0, loss=2.5, tokens=10, seconds=3.0),
        make_metric(3, step=1, seconds=2.0, epoch=0.1, loss=1.75),
        make_metric(4, step=2, seconds=2.0, epoch=0.2, loss=1.5),
    )

    seen = player.job(job)
    assert seen["phase"] == "training"
    assert seen["progress"] == {
        "step": 2,
        "total_steps": 10,
        "epoch": 0.2,
        "percent": 20.0,
        "rows": None,
    }
    assert (seen["last_loss"], seen["eval_loss"]) == (1.5, None), "only the base was evaluated"
    assert player.get("/v1/jobs", sort="eval_loss")["data"][0]["eval_loss"] is None
    assert seen["eta_seconds"] == 8 * 2.0 + 3 * 3.0, "evaluations at 4, 8 and the end"
    player.sync(claim, EvalRecord(seq=5, at=at, step=4, loss=2.0, tokens=10, seconds=3.0))
    assert player.job(job)["eval_loss"] == 2.0


def test_notable_records_become_events(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    at = utc_now()

    player.sync(
        claim,
        PhaseRecord(seq=1, at=at, phase=Phase.LOADING),
        LogRecord(seq=2, at=at, message="a detail"),
        LogRecord(seq=3, at=at, level="warning", message="3 rows were dropped {x}"),
        EvalRecord(seq=4, at=at, step=0, loss=math.nan, tokens=1),
        make_checkpoint(5, 10),
    )

    english = player.get(f"/v1/jobs/{job}/events")["data"]
    response = player.client.get(f"/v1/jobs/{job}/events", headers={"Accept-Language": "zh-CN"})
    assert [event["code"] for event in english] == [
        "job_created",
        "attempt_started",
        "phase",
        "log",
        "evaluated",
        "checkpoint",
        "health_raised",
    ]
    assert english[3]["message"] == "3 rows were dropped {x}"
    assert english[3]["level"] == "warning"
    assert response.json()["data"][0]["message"] == "任务已提交。"


def test_nonfinite_numbers_are_stored_and_listed(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    player.sync(claim, make_metric(1, loss=math.nan, grad_norm=math.inf), make_metric(2))

    page = player.get(f"/v1/jobs/{job}/loss")
    assert [point["loss"] for point in page["data"]] == [None, 2.0]
    assert page["data"][0]["grad_norm"] is None
    assert page["nonfinite"] == [1]


def test_output_is_stored_once_and_without_gaps(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    assert player.print(claim, 0, "one\ntwo\n").acked_output == 8
    assert player.print(claim, 0, "one\ntwo\n").acked_output == 8
    assert player.print(claim, 20, "later\n").acked_output == 8
    assert player.print(claim, 0, "one\ntwo\n三\0\n").acked_output == 13

    text = player.client.get(f"/v1/jobs/{job}/logs", headers={"Accept": "text/plain"}).text
    assert text == "one\ntwo\n三\ufffd\n"


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


def test_a_dataset_can_be_downloaded_only_by_an_attempt_that_uses_it(player: Player) -> None:
    used, other = player.upload(3), player.upload(3, "other")
    player.submit(dataset={"train": used})
    claim = player.claim()

    def download(dataset: str, token: str) -> tuple[int, bytes, str | None]:
        path = DATASET_PATH.format(attempt_id=claim.attempt_id, dataset_id=dataset)
        response = player.client.get(path, headers={"Authorization": f"Bearer {token}"})
        return response.status_code, response.content, response.headers.get(SHA256_HEADER)

    status, content, sha256 = download(used, claim.token)
    assert status == 200
    assert len(content.splitlines()) == 3
    assert sha256 == claim.train.sha256  # type: ignore[union-attr]  # uploaded, not from the hub
    assert download(other, claim.token)[0] == 404
    assert download(used, "wrong")[0] == 401


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


AT = "2026-01-01T00:00:00Z"
TOO_LARGE: dict[str, dict[str, Any]] = {
    "records.0.seq": {"records": [{"type": "metric", "seq": 10**30, "step": 1, "values": {}}]},
    "records.0.step": {"records": [{"type": "metric", "seq": 1, "step": 2**53 + 1, "values": {}}]},
    "records.0.total_steps": {
        "records": [{"type": "phase", "seq": 1, "phase": "training", "total_steps": 10**30}]
    },
    "output.offset": {"output": {"offset": 10**30, "bytes": 1, "text": "x"}},
    "samples.0.seq": {"samples": [{"seq": 10**30, "values": {}}]},
}


@pytest.mark.parametrize("field", TOO_LARGE)
def test_a_reported_number_above_the_maximum_is_rejected_and_its_field_is_named(
    player: Player, field: str
) -> None:
    player.submit()
    claim = player.claim()
    body = {
        name: [content | {"at": AT} for content in value]
        if isinstance(value, list)
        else value | {"at": AT}
        for name, value in TOO_LARGE[field].items()
    }

    response = player.client.post(
        SYNC_PATH.format(attempt_id=claim.attempt_id),
        json=body,
        headers={"Authorization": f"Bearer {claim.token}"},
    )

    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("number_too_large", "records")
    assert error["message"] == f"{field} contains a number larger than {2**53}."


def test_another_error_is_reported_even_if_a_number_is_above_the_maximum(player: Player) -> None:
    player.submit()
    claim = player.claim()
    large = {"type": "metric", "seq": 10**30, "step": -1, "at": AT, "values": {}}

    response = player.client.post(
        SYNC_PATH.format(attempt_id=claim.attempt_id),
        json={"records": [large]},
        headers={"Authorization": f"Bearer {claim.token}"},
    )

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_field"


def test_an_attempt_number_above_the_maximum_is_rejected(player: Player) -> None:
    player.submit()
    claim = player.claim()

    assert player.post_earlier(claim, 10**30, make_metric(1)).status_code == 400


@pytest.mark.parametrize("field", ["host", "queue", "models"])
def test_an_unpaired_surrogate_is_rejected_as_an_invalid_body(player: Player, field: str) -> None:
    value = ["\ud800"] if field == "models" else "\ud800"
    body = json.dumps({"worker_id": "w", field: value})

    response = player.client.post(HELLO_PATH, content=body, headers=WORKER)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_body")


def test_concurrent_workers_claim_each_job_once(player: Player, database: Database) -> None:
    jobs, workers = 200, 4
    with database.writing() as session:
        now = database_now(session)
        spec = make_spec_json()
        session.add_all(
            Job(
                id=f"job_{n:024d}",
                status="queued",
                spec=spec,
                model="m",
                queue="default",
                priority=n % 3,
                created_at=now,
            )
            for n in range(jobs)
        )

    def take_all(worker_id: str) -> list[Claim]:
        taken = []
        while (response := player.post_claim(worker_id=worker_id)).status_code == 200:
            taken.append(Claim.model_validate_json(response.content))
        assert response.status_code == 204
        return taken

    with ThreadPoolExecutor(workers) as pool:
        taken = [claim for claims in pool.map(take_all, "abcd") for claim in claims]

    assert len(taken) == jobs
    assert len({claim.job_id for claim in taken}) == jobs
    with database.reading() as session:
        running = session.scalar(
            select(func.count()).where(Attempt.status == AttemptStatus.RUNNING)
        )
    assert running == jobs


def make_spec_json() -> dict[str, object]:
    return {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}


def test_repeating_a_claim_whose_response_was_lost_returns_the_same_attempt(player: Player) -> None:
    job, other = player.submit(), player.submit()

    claims = [Claim.model_validate_json(player.post_claim("c1").content) for _ in range(3)]
    assert len({(claim.attempt_id, claim.token) for claim in claims}) == 1
    assert claims[0].job_id == job
    player.sync(claims[0], make_metric(1))

    # A copy of the request may also arrive late. The running attempt continues.
    assert Claim.model_validate_json(player.post_claim("c1").content) == claims[0]
    player.sync(claims[0], make_metric(2))
    second = Claim.model_validate_json(player.post_claim("c2").content)
    assert (second.job_id, second.number) == (other, 1)
    assert second.token != claims[0].token


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


def test_metrics_dropped_by_a_full_spool_are_reported_in_only_a_few_events(
    player: Player,
) -> None:
    job = player.submit()
    claim = player.claim()
    gaps = [
        GapRecord(seq=n, at=utc_now(), first_step=n, last_step=n, count=1, number=n, total=n)
        for n in range(1, 10)
    ]

    assert player.sync(claim, *gaps).acked_seq == 9

    events = [e for e in player.get(f"/v1/jobs/{job}/events")["data"] if e["code"] == "record_gap"]
    assert [event["data"]["total"] for event in events] == [1, 2, 4, 8]
    assert events[0]["level"] == "warning"
    assert events[0]["message"].startswith("Metrics and evaluations dropped so far: 1, ")
