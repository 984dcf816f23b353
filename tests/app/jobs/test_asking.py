"""Requests to pause, resume, retry, delete or cancel a submitted job; a cancel overrides a pause."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import func, select

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Artifact, Attempt, Event, Job, Output, Record
from app.sweep.leftovers import AGE_SECONDS, remove_leftovers
from app.sweep.sweeper import Sweeper
from contracts.attempt import Wanted
from contracts.failure import FailureReason
from tests.app.bellringer import Bellringer
from tests.app.player import Player
from tests.app.sweep.test_sweep import end_retry_delays, silence
from tests.factories import make_metric


def post_action(player: Player, job: str, action: str, **headers: str) -> Response:
    return player.client.post(f"/v1/jobs/{job}/{action}", headers=headers)


def event_codes(player: Player, job: str) -> list[str]:
    return [event["code"] for event in player.get(f"/v1/jobs/{job}/events", limit=100)["data"]]


def error_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_queued_job_pauses_immediately_and_resuming_it_rings_the_doorbell(
    player: Player, bell: Bellringer
) -> None:
    job = player.submit(queue="a")
    bell.rung.clear()

    for _ in range(2):
        assert post_action(player, job, "pause").json()["status"] == "paused"
    assert player.post_claim(queue="a").status_code == 204, "a paused job cannot be claimed"
    for _ in range(2):
        assert post_action(player, job, "resume").json()["status"] == "queued"

    assert bell.rung == ["a"]
    assert event_codes(player, job) == ["job_created", "job_paused", "job_resumed"]
    assert player.claim(queue="a").job_id == job


def test_the_run_time_of_a_job_excludes_the_time_it_was_queued_or_paused(
    player: Player, database: Database
) -> None:
    other, job = player.submit(), player.submit(queue="a")
    for _ in range(2):
        claim = player.claim(queue="a")
        assert player.job(job)["run_seconds"] == (7.25 if claim.number > 1 else None)
        post_action(player, job, "pause")
        player.finish(claim, "paused", 0)
        _set_times(database, claim.attempt_id, start=100 * claim.number, seconds=7.25)
        post_action(player, job, "resume")
    post_action(player, job, "cancel").raise_for_status()

    listed = {each["id"]: each["run_seconds"] for each in player.get("/v1/jobs")["data"]}

    assert listed == {job: 14.5, other: None}
    assert player.job(job)["run_seconds"] == 14.5


def _set_times(database: Database, attempt_id: str, *, start: float, seconds: float) -> None:
    with database.writing() as session:
        attempt = session.get_one(Attempt, attempt_id)
        attempt.started_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start)
        attempt.ended_at = attempt.started_at + timedelta(seconds=seconds)


def test_a_running_job_is_paused_once_its_attempt_has_ended(player: Player) -> None:
    job = player.submit()
    claim = player.claim()

    for _ in range(2):
        seen = post_action(player, job, "pause").json()
        assert seen["status"] == "running"
        assert seen["pause_requested_at"] is not None
    assert player.sync(claim, make_metric(1)).wanted is Wanted.PAUSE
    assert player.finish(claim, "paused", 1, step=1).json() == {"job_status": "paused"}

    seen = player.job(job)
    assert (seen["status"], seen["pause_requested_at"]) == ("paused", None)
    assert event_codes(player, job)[-2:] == ["pause_requested", "job_paused"]
    post_action(player, job, "resume")
    assert player.claim().number == 2


def test_a_pending_pause_can_be_withdrawn(player: Player, bell: Bellringer) -> None:
    job = player.submit()
    claim = player.claim()
    post_action(player, job, "pause")
    bell.rung.clear()

    seen = post_action(player, job, "resume").json()

    assert (seen["status"], seen["pause_requested_at"]) == ("running", None)
    assert player.sync(claim).wanted is Wanted.CONTINUE
    assert bell.rung == []
    # The attempt had already stopped when the pause was withdrawn. No loss is counted.
    assert player.finish(claim, "paused").json() == {"job_status": "queued"}
    assert bell.rung == ["default"]


def test_cancel_overrides_pause(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    post_action(player, job, "pause")

    seen = post_action(player, job, "cancel").json()

    assert seen["pause_requested_at"] is None
    assert player.sync(claim).wanted is Wanted.CANCEL
    for action in ("pause", "resume", "retry"):
        assert error_of(post_action(player, job, action)) == (409, "cancel_pending")
    assert player.finish(claim, "paused").json() == {"job_status": "cancelled"}


def test_a_paused_job_is_cancelled_immediately(player: Player) -> None:
    job = player.submit()
    post_action(player, job, "pause")

    assert post_action(player, job, "cancel").json()["status"] == "cancelled"
    assert error_of(post_action(player, job, "resume")) == (409, "job_already_ended")
    assert error_of(post_action(player, job, "pause")) == (409, "job_already_ended")


def test_the_event_of_a_killed_attempt_names_the_last_step_that_it_reported(player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    player.sync(claim, make_metric(1, step=52))

    player.fail(claim, FailureReason.CHILD_KILLED)

    messages = [event["message"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]
    assert any("Attempt 1 failed at step 52" in message for message in messages), messages


@pytest.mark.parametrize("how", ["lost", "interrupted", "child_killed"])
def test_a_job_with_a_pending_pause_is_paused_however_its_attempt_ends(
    player: Player, database: Database, settings: Settings, bell: Bellringer, how: str
) -> None:
    sweeper = Sweeper(database, settings, bell)
    sweeper.sweep_once()
    job = player.submit()
    claim = player.claim()
    post_action(player, job, "pause")

    if how == "lost":
        silence(database)
        sweeper.sweep_once()
    elif how == "interrupted":
        player.finish(claim, "interrupted")
    else:
        player.fail(claim, FailureReason.CHILD_KILLED)

    assert player.job(job)["status"] == "paused"
    assert post_action(player, job, "resume").json()["status"] == "queued"


def test_retrying_a_failed_job_resets_its_count_of_lost_attempts(
    player: Player, database: Database, bell: Bellringer
) -> None:
    job = player.submit()
    for _ in range(3):
        end_retry_delays(database)
        player.fail(player.claim(), FailureReason.CHILD_KILLED)
    assert player.job(job)["error"]["code"] == "attempts_exhausted"
    bell.rung.clear()

    for _ in range(2):
        seen = post_action(player, job, "retry").json()
        assert (seen["status"], seen["error"], seen["ended_at"]) == ("queued", None, None)
    assert bell.rung == ["default"]

    assert player.fail(player.claim(), FailureReason.CHILD_KILLED) == "queued", (
        "the first of three losses"
    )
    end_retry_delays(database)
    claim = player.claim()
    assert claim.number == 5
    assert post_action(player, job, "retry").json()["status"] == "running"
    player.succeed(claim)
    assert error_of(post_action(player, job, "retry")) == (409, "job_already_ended")


def test_a_cancelled_job_can_be_retried_but_a_paused_one_cannot(player: Player) -> None:
    job = player.submit()
    post_action(player, job, "pause")
    assert error_of(post_action(player, job, "retry")) == (409, "job_paused")
    post_action(player, job, "cancel")

    seen = post_action(player, job, "retry").json()

    assert (seen["status"], seen["cancel_requested_at"]) == ("queued", None)
    assert player.claim().job_id == job


def test_a_job_can_be_retried_once_its_deleted_dataset_is_uploaded_again(
    player: Player,
) -> None:
    dataset = player.upload(5)
    job = player.submit(dataset={"train": dataset})
    post_action(player, job, "cancel")
    assert player.client.delete(f"/v1/datasets/{dataset}").status_code == 200

    response = post_action(player, job, "retry", **{"Accept-Language": "zh"})
    assert error_of(response) == (409, "dataset_gone")
    assert response.json()["error"]["message"] == f"任务 {job} 的数据集 {dataset} 已被删除。"

    assert player.upload(5) == dataset
    assert post_action(player, job, "retry").json()["status"] == "queued"
    assert player.client.delete(f"/v1/datasets/{dataset}").status_code == 409, "in use again"


def test_deleting_a_job_removes_its_rows_and_files(
    player: Player, database: Database, settings: Settings
) -> None:
    job, other = player.submit(labels={"team": "nlp"}), player.submit()
    claim = player.claim()
    player.sync(claim, make_metric(1))
    player.print(claim, 0, "hello\n")
    player.put_artifact(claim)
    path = f"/v1/jobs/{job}"
    assert error_of(player.client.delete(path)) == (409, "job_running")
    player.finish(claim, "cancelled", 1)

    assert player.client.delete(path).json() == {"object": "job", "id": job, "deleted": True}

    assert player.client.get(path).status_code == 404
    assert error_of(player.client.delete(path)) == (404, "job_not_found")
    assert player.send_sync(claim).status_code == 401
    assert player.client.get(f"/v1/jobs/{other}").status_code == 200
    with database.reading() as session:
        assert session.scalars(select(Job.id)).all() == [other]
        for table in (Attempt, Record, Output, Artifact):
            assert session.scalar(select(func.count()).select_from(table)) == 0
        assert set(session.scalars(select(Event.job_id))) == {other}
    assert not (settings.data_dir / "artifacts" / job).exists()


@pytest.mark.parametrize("status", ["queued", "paused"])
def test_a_queued_or_paused_job_can_be_deleted(player: Player, status: str) -> None:
    job = player.submit()
    if status == "paused":
        post_action(player, job, "pause")

    assert player.client.delete(f"/v1/jobs/{job}").status_code == 200
    assert player.post_claim().status_code == 204


@pytest.mark.parametrize("action", ["pause", "resume", "retry"])
@pytest.mark.parametrize("job", ["job_" + "0" * 24, "%00", "x" * 300])
def test_a_request_for_a_missing_job_is_rejected(player: Player, action: str, job: str) -> None:
    assert error_of(post_action(player, job, action)) == (404, "job_not_found")


def test_orphaned_files_are_removed_and_files_with_a_database_row_are_kept(
    player: Player, database: Database, app: FastAPI, settings: Settings
) -> None:
    job = player.submit()
    player.put_artifact(player.claim())
    orphan = settings.data_dir / "checkpoints" / "job_gone" / "0123-4567"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    (settings.data_dir / "artifacts" / job / "recent").write_bytes(b"x")

    def sweep() -> list[str]:
        removed: list[str] = remove_leftovers(database, app.state.storage)
        return removed

    assert sweep() == [], "every file is too new"
    for path in settings.data_dir.rglob("*"):
        if path.is_file() and path.name != "recent":
            past = path.stat().st_mtime - AGE_SECONDS - 1
            os.utime(path, (past, past))

    owner = settings.data_dir / "owner"
    ours = owner.read_text()
    owner.write_text("postgresql+psycopg://elsewhere")
    assert sweep() == [], "the files may belong to another database"
    owner.write_text(ours)
    assert sweep() == ["checkpoints/job_gone/0123-4567"]
    assert player.client.get(f"/v1/jobs/{job}/artifacts/adapter.zip").status_code == 200
