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
from contracts.record import EvalRecord, PhaseRecord
from contracts.wire import SYNC_PATH
from tests.app.player import Player
from tests.app.sse import Reader
from tests.factories import make_metric
from tests.server_process import running


def rows(
    phase: Phase, done: int, total: int, seconds: float = 1.0, left: float | None = None
) -> dict[str, Any]:
    return RowProgress(
        phase=phase, rows_done=done, rows_total=total, seconds=seconds, seconds_left=left
    ).model_dump(mode="json")


def enter(player: Player, claim: Claim, seq: int, phase: Phase, step: int = 0, **said: Any) -> None:
    """Enter a phase of a run of 100 steps."""
    record = PhaseRecord(seq=seq, at=utc_now(), phase=phase, step=step, total_steps=100)
    player.sync(claim, record, **said)


def start(player: Player, **spec: Any) -> tuple[str, Claim]:
    job = player.submit(**spec)
    return job, player.claim()


def test_rows_of_the_phase_are_shown_with_the_time_that_it_still_takes(player: Player) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.TOKENIZING, rows=rows(Phase.TOKENIZING, 0, 9000))
    assert player.job(job)["progress"]["rows"] == {"done": 0, "total": 9000, "seconds_left": None}
    before = player.job(job)["version"]

    player.sync(claim, rows=rows(Phase.TOKENIZING, 3000, 9000, seconds=10, left=20.5))

    seen = player.job(job)
    assert seen["phase"] == "tokenizing"
    assert seen["progress"]["rows"] == {"done": 3000, "total": 9000, "seconds_left": 20.5}
    assert seen["eta_seconds"] is None, "nobody knows yet how long a step takes"
    assert seen["version"] > before, "whoever waits for a change hears of it"


def test_a_phase_begins_without_the_rows_of_the_one_before(player: Player) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 7, 9))

    enter(player, claim, 2, Phase.TRAINING)
    assert player.job(job)["progress"]["rows"] is None
    enter(player, claim, 3, Phase.EVALUATING, 50)
    assert player.job(job)["progress"]["rows"] is None
    player.sync(claim, rows=rows(Phase.TOKENIZING, 1, 9))
    assert player.job(job)["progress"]["rows"] is None, "rows of another phase"

    player.sync(claim, rows=rows(Phase.EVALUATING, 2, 9))
    assert player.job(job)["progress"]["rows"]["done"] == 2
    player.sync(claim, phase=Phase.UPLOADING)
    assert player.job(job)["progress"]["rows"] is None


@pytest.mark.parametrize("end", ["failed", "cancelled", "interrupted"])
def test_nothing_is_left_of_the_rows_when_the_attempt_has_ended(player: Player, end: str) -> None:
    job, claim = start(player)
    enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 7, 9))

    player.finish(claim, end, last_seq=1)

    assert player.job(job)["progress"]["rows"] is None
    if end == "interrupted":
        player.claim()
        assert player.job(job)["progress"]["rows"] is None


def test_the_base_evaluation_has_no_time_left_of_the_whole_job(player: Player) -> None:
    job, claim = start(player)

    enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 340, 2000, 10, 50))

    seen = player.job(job)
    assert seen["progress"]["rows"]["seconds_left"] == 50
    assert seen["progress"]["percent"] == 0
    assert seen["eta_seconds"] is None


def test_an_evaluation_between_counts_its_rest_the_training_and_the_evaluations_to_come(
    player: Player,
) -> None:
    job, claim = start(player, evaluation={"every_steps": 30})
    steps = [make_metric(n + 1, n, seconds=2.0) for n in range(1, 31)]
    enter(player, claim, 1, Phase.TRAINING)
    player.sync(claim, *steps)

    enter(player, claim, 32, Phase.EVALUATING, 30, rows=rows(Phase.EVALUATING, 0, 9, 0))
    assert player.job(job)["eta_seconds"] is None, "an evaluation has not been measured yet"
    player.sync(claim, rows=rows(Phase.EVALUATING, 3, 9, seconds=4, left=6))
    # 70 steps of 2 s; evaluations at 60, 90 and 100 of 10 s; 6 s of this one.
    assert player.job(job)["eta_seconds"] == pytest.approx(140 + 30 + 6)

    evaluated = EvalRecord(seq=33, at=utc_now(), step=30, loss=1.0, tokens=9, seconds=12.0)
    player.sync(claim, evaluated, rows=rows(Phase.EVALUATING, 9, 9, seconds=12, left=0))
    assert player.job(job)["eta_seconds"] == pytest.approx(140 + 36)


def test_the_last_evaluation_counts_only_its_rest(player: Player) -> None:
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


def test_the_rows_of_a_worker_that_was_replaced_are_not_shown(player: Player) -> None:
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
def test_faulty_rows_are_refused(player: Player, faulty: Any) -> None:
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


def test_more_rows_done_than_there_are_count_as_all(player: Player) -> None:
    job, claim = start(player)

    enter(player, claim, 1, Phase.TOKENIZING, rows=rows(Phase.TOKENIZING, 12, 9))

    assert player.job(job)["progress"]["rows"]["done"] == 9


def test_a_listener_is_told_of_the_rows(tmp_path: Path, database_url: str) -> None:
    with running(tmp_path, database_url) as server:
        player = Player(cast("TestClient", server.client))
        job, claim = start(player)
        with Reader(f"{server.client.base_url}/v1/jobs/{job}/stream", {}) as listener:

            def told() -> list[int | None]:
                found = [status["progress"]["rows"] for status in listener.named("status")]
                return [None if rows is None else rows["done"] for rows in found]

            enter(player, claim, 1, Phase.EVALUATING, rows=rows(Phase.EVALUATING, 0, 9))
            listener.wait(lambda _: 0 in told())
            player.sync(claim, rows=rows(Phase.EVALUATING, 4, 9))
            listener.wait(lambda _: 4 in told())
            enter(player, claim, 2, Phase.TRAINING)
            listener.wait(lambda _: told()[-1] is None and told()[-2] == 4)


def test_a_sync_of_another_version_is_understood() -> None:
    assert SyncRequest.model_validate_json('{"records": []}').rows is None
    newer = '{"records": [], "rows": null, "something_new": {"a": 1}}'
    assert SyncRequest.model_validate_json(newer).records == []


def test_every_field_of_a_progress_is_a_column() -> None:
    job_columns = Base.metadata.tables[Job.__tablename__].columns.keys()

    assert {field.name for field in fields(JobProgress)} <= set(job_columns)
    assert {field.name for field in fields(AttemptProgress)} <= set(HeldAttempt._fields)


def test_only_changed_columns_are_written_and_none_clears_one() -> None:
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
