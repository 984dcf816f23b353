"""Progress of a job while it tokenizes and evaluates: rows, time left, and values that are never shown."""

from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from app.attempts.progress import AttemptProgress
from app.db.tables import Base, Job
from app.jobs.progress import JobProgress
from app.leases.store import HeldAttempt
from contracts.attempt import Claim, RowProgress, SyncRequest
from contracts.base import utc_now
from contracts.job import Phase
from contracts.protocol.wire import SYNC_PATH
from contracts.record import EvalRecord, PhaseRecord
from tests.app.player import Player
from tests.app.stream.sse import Reader
from tests.factories import make_metric
from tests.programs.server_process import running


def rows(
    phase: Phase, done: int, total: int, seconds: float = 1.0, left: float | None = None
) -> dict[str, Any]:
    return RowProgress(
        phase=phase, rows_done=done, rows_total=total, seconds=seconds, seconds_left=left
    ).model_dump(mode="json")


def enter(player: Player, claim: Claim, seq: int, phase: Phase, step: int = 0, **sync: Any) -> None:
    """Enter a phase of a 100-step run."""
    record = PhaseRecord(seq=seq, at=utc_now(), phase=phase, step=step, total_steps=100)
    player.sync(claim, record, **sync)


def start(player: Player, **spec: Any) -> tuple[str, Claim]:
    job = player.submit(**spec)
    return job, player.claim()


def test_a_job_shows_the_rows_and_the_remaining_time_of_its_phase(player: Player) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.TOKENIZING, rows=rows(Phase.TOKENIZING, 0, 9000))
    assert player.job(job)["progress"]["rows"] == {"done": 0, "total": 9000, "seconds_left": None}
    before = player.job(job)["version"]

    player.sync(claim, rows=rows(Phase.TOKENIZING, 3000, 9000, seconds=10, left=20.5))

    seen = player.job(job)
    assert seen["phase"] == "tokenizing"
    assert seen["progress"]["rows"] == {"done": 3000, "total": 9000, "seconds_left": 20.5}
    assert seen["eta_seconds"] is None, "no step has been measured yet"
    assert seen["version"] > before, "a long poll must return"


def test_a_new_phase_starts_without_the_rows_of_the_previous_phase(player: Player) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 7, 9))

    enter(player, claim, 2, Phase.TRAINING)
    assert player.job(job)["progress"]["rows"] is None
    enter(player, claim, 3, Phase.EVALUATING, 50)
    assert player.job(job)["progress"]["rows"] is None
    player.sync(claim, rows=rows(Phase.TOKENIZING, 1, 9))
    assert player.job(job)["progress"]["rows"] is None, "the rows belong to another phase"

    player.sync(claim, rows=rows(Phase.EVALUATING, 2, 9))
    assert player.job(job)["progress"]["rows"]["done"] == 2
    player.sync(claim, phase=Phase.UPLOADING)
    assert player.job(job)["progress"]["rows"] is None


@pytest.mark.parametrize("end", ["failed", "cancelled", "interrupted"])
def test_a_job_shows_no_rows_after_its_attempt_has_ended(player: Player, end: str) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 7, 9))

    player.finish(claim, end, last_seq=1)

    assert player.job(job)["progress"]["rows"] is None
    if end == "interrupted":
        player.claim()
        assert player.job(job)["progress"]["rows"] is None


def test_there_is_no_time_estimate_for_the_whole_job_during_the_base_evaluation(
    player: Player,
) -> None:
    job, claim = start(player)

    enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 340, 2000, 10, 50))

    seen = player.job(job)
    assert seen["progress"]["rows"]["seconds_left"] == 50
    assert seen["progress"]["percent"] == 0
    assert seen["eta_seconds"] is None


def test_the_time_estimate_during_an_evaluation_includes_remaining_steps_and_later_evaluations(
    player: Player,
) -> None:
    job, claim = start(player, evaluation={"every_steps": 30})
    steps = [make_metric(n + 1, n, seconds=2.0) for n in range(1, 31)]
    enter(player, claim, 1, Phase.TRAINING)
    player.sync(claim, *steps)

    enter(player, claim, 32, Phase.EVALUATING, 30, rows=rows(Phase.EVALUATING, 0, 9, 0))
    assert player.job(job)["eta_seconds"] is None, "no evaluation has been measured yet"
    player.sync(claim, rows=rows(Phase.EVALUATING, 3, 9, seconds=4, left=6))
    # 70 steps at 2 s each, evaluations at 60, 90 and 100 at 10 s each, and 6 s left of this one.
    assert player.job(job)["eta_seconds"] == pytest.approx(140 + 30 + 6)

    evaluated = EvalRecord(seq=33, at=utc_now(), step=30, loss=1.0, tokens=9, seconds=12.0)
    player.sync(claim, evaluated, rows=rows(Phase.EVALUATING, 9, 9, seconds=12, left=0))
    assert player.job(job)["eta_seconds"] == pytest.approx(140 + 36)


def test_the_time_estimate_during_the_last_evaluation_covers_only_that_evaluation(
    player: Player,
) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.TRAINING)
    player.sync(claim, make_metric(2, 100, seconds=2.0))

    enter(
        player,
        claim,
        3,
        Phase.EVALUATING,
        100,
        rows=rows(Phase.EVALUATING, 3, 9, seconds=4, left=6),
    )

    assert player.job(job)["eta_seconds"] == 6


def test_rows_from_a_replaced_worker_are_rejected(player: Player) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.EVALUATING)
    player.finish(claim, "interrupted", last_seq=1)
    player.claim()

    refused = player.send_sync(claim, rows=rows(Phase.PLACING, 1, 2))

    assert refused.status_code == 409
    assert player.job(job)["progress"]["rows"] is None


@pytest.mark.parametrize(
    "faulty",
    [{"rows_done": -1}, {"rows_total": 2**60}, {"seconds": -1}, {"seconds_left": "NaN"}, "x", [1]],
)
def test_invalid_row_progress_is_rejected(player: Player, faulty: Any) -> None:
    job, claim = start(player)
    good = rows(Phase.PLACING, 1, 2)
    body = {"rows": good | faulty if isinstance(faulty, dict) else faulty}

    response = player.client.post(
        SYNC_PATH.format(attempt_id=claim.attempt_id),
        json=body,
        headers={"Authorization": f"Bearer {claim.token}"},
    )

    assert response.status_code == 400, response.text
    assert player.job(job)["progress"]["rows"] is None


def test_the_number_of_rows_done_is_capped_at_the_total(player: Player) -> None:
    job, claim = start(player)

    enter(player, claim, 1, Phase.TOKENIZING, rows=rows(Phase.TOKENIZING, 12, 9))

    assert player.job(job)["progress"]["rows"]["done"] == 9


def test_a_stream_reports_the_rows(tmp_path: Path, database_url: str) -> None:
    with running(tmp_path, database_url) as server:
        player = Player(cast("TestClient", server.client))
        job, claim = start(player)
        with Reader(f"{server.client.base_url}/v1/jobs/{job}/stream", {}) as listener:

            def rows_done() -> list[int | None]:
                found = [status["progress"]["rows"] for status in listener.named("status")]
                return [None if rows is None else rows["done"] for rows in found]

            enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 0, 9))
            listener.wait(lambda _: 0 in rows_done())
            player.sync(claim, rows=rows(Phase.EVALUATING, 4, 9))
            listener.wait(lambda _: 4 in rows_done())
            enter(player, claim, 2, Phase.TRAINING)
            listener.wait(lambda _: rows_done()[-1] is None and rows_done()[-2] == 4)


def test_syncs_from_older_and_newer_workers_are_accepted() -> None:
    assert SyncRequest.model_validate_json('{"records": []}').rows is None
    newer = '{"records": [], "rows": null, "something_new": {"a": 1}}'
    assert SyncRequest.model_validate_json(newer).records == []


def test_every_progress_field_is_a_column() -> None:
    job_columns = Base.metadata.tables[Job.__tablename__].columns.keys()

    assert {field.name for field in fields(JobProgress)} <= set(job_columns)
    assert {field.name for field in fields(AttemptProgress)} <= set(HeldAttempt._fields)


def test_only_changed_columns_are_written_and_none_clears_a_column() -> None:
    assert JobProgress().columns() == {}
    assert JobProgress(step=3, epoch=None).columns() == {"step": 3, "epoch": None}
    rows_of_an_earlier_phase = JobProgress(step=3, rows_done=1, rows_total=2)
    assert rows_of_an_earlier_phase.enter(Phase.TRAINING).columns() == {
        "phase": Phase.TRAINING,
        "step": 3,
        "rows_done": None,
        "rows_total": None,
        "rows_seconds": None,
        "rows_seconds_left": None,
    }
