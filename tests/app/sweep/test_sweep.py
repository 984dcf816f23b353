from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select, update

from app.attempts.finish import lose_attempt
from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.tables import Attempt, Bell, Job, Leader
from app.leases.lease import Times
from app.sweep.sweeper import Sweeper
from contracts.base import utc_now
from contracts.record import CheckpointRecord
from tests.app.bellringer import Bellringer
from tests.app.player import Player


@pytest.fixture
def bell(settings: Settings) -> Bellringer:
    """Return a doorbell for the sweeper only, so that no request rings it."""
    return Bellringer(settings)


@pytest.fixture
def sweeper(database: Database, settings: Settings, bell: Bellringer) -> Sweeper:
    """Return a sweeper that has already swept once."""
    sweeper = Sweeper(database, settings, bell)
    sweeper.sweep_once()
    return sweeper


def silence(database: Database, seconds: float = 181) -> None:
    """Make the running attempts look silent for this long."""
    shift = timedelta(seconds=seconds)
    with database.writing() as session:
        for attempt in session.scalars(select(Attempt).where(Attempt.ended_at.is_(None))):
            attempt.synced_at -= shift
            attempt.lease_expires_at -= shift
            attempt.takeover_at -= shift


def end_retry_delays(database: Database) -> None:
    with database.writing() as session:
        session.execute(update(Job).values(not_before=None))


def test_a_silent_attempt_is_lost_and_its_job_is_queued_again(
    player: Player, database: Database, sweeper: Sweeper, bell: Bellringer
) -> None:
    job = player.submit()
    claim = player.claim()

    silence(database, 100)
    sweeper.sweep_once()
    assert player.job(job)["unreachable"] is True
    assert player.job(job)["status"] == "running", "unreachable is not yet lost"

    silence(database, 81)
    sweeper.sweep_once()
    assert player.job(job)["status"] == "queued"
    assert player.get(f"/v1/jobs/{job}/attempts")["data"][0]["status"] == "lost"
    codes = [event["code"] for event in player.get(f"/v1/jobs/{job}/events")["data"]]
    assert codes[-2:] == ["attempt_lost", "job_requeued"]
    assert player.send_sync(claim).json()["error"]["code"] == "attempt_superseded"
    assert bell.rung == ["default"], "the sweep rings as soon as it detects the loss"

    second = player.claim()
    assert second.number == 2
    player.succeed(second)
    assert player.finish(claim, "succeeded").status_code == 409, "a late finish changes nothing"


def test_a_sync_at_the_last_moment_keeps_the_attempt_alive(
    player: Player, database: Database, settings: Settings
) -> None:
    player.submit()
    claim = player.claim()
    silence(database)

    player.sync(claim)  # between the sweep's check and its write

    with database.writing() as session:
        assert lose_attempt(session, claim.attempt_id, Times.of(settings)) is None
    player.sync(claim)


def test_repeated_losses_without_a_new_checkpoint_fail_the_job(
    player: Player, database: Database, sweeper: Sweeper
) -> None:
    job = player.submit()

    for checkpoint, expected in (
        (0, "queued"),
        (0, "queued"),
        (5, "queued"),
        (5, "queued"),
        (5, "failed"),
    ):
        claim = player.claim()
        if checkpoint:
            record = CheckpointRecord(seq=1, at=utc_now(), step=checkpoint, name="c")
            player.sync(claim, record)
        silence(database)
        sweeper.sweep_once()
        assert player.job(job)["status"] == expected
        end_retry_delays(database)

    error = player.job(job)["error"]
    assert error["code"] == "attempts_exhausted"
    assert "had not reported" in error["detail"]


def test_a_job_with_a_pending_cancel_is_cancelled_when_its_attempt_is_lost(
    player: Player, database: Database, sweeper: Sweeper
) -> None:
    job = player.submit()
    player.claim()
    player.client.post(f"/v1/jobs/{job}/cancel")

    silence(database)
    sweeper.sweep_once()

    assert player.job(job)["status"] == "cancelled"


def test_after_its_own_downtime_the_server_gives_every_worker_time_to_sync(
    player: Player, database: Database, sweeper: Sweeper
) -> None:
    job = player.submit()
    claim = player.claim()
    silence(database, 3600)
    with database.writing() as session:
        session.execute(update(Leader).values(beat_at=database_now(session) - timedelta(hours=1)))

    sweeper.sweep_once()
    sweeper.sweep_once()
    assert player.job(job)["status"] == "running"
    player.sync(claim)

    silence(database, 181)
    sweeper.sweep_once()
    assert player.job(job)["status"] == "queued", "the server waits only once after its downtime"


def test_only_one_of_two_servers_sweeps_until_that_server_ends(
    player: Player, database: Database, settings: Settings, sweeper: Sweeper, bell: Bellringer
) -> None:
    other = Sweeper(database, settings, bell)
    job = player.submit()
    player.claim()
    silence(database)

    other.sweep_once()
    assert player.job(job)["status"] == "running", "the other server is the leader"

    with database.writing() as session:
        session.execute(update(Leader).values(expires_at=database_now(session)))
    other.sweep_once()
    assert player.job(job)["status"] == "queued"


def test_the_sweep_rings_once_per_interval_for_each_queue_with_waiting_jobs(
    player: Player, database: Database, sweeper: Sweeper, bell: Bellringer
) -> None:
    player.submit(queue="a")
    player.submit(queue="b")
    sweeper.sweep_once()
    sweeper.sweep_once()
    assert sorted(bell.rung) == ["a", "b"]

    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=31)
        session.execute(update(Bell).where(Bell.queue == "a").values(rung_at=past))
    sweeper.sweep_once()
    assert sorted(bell.rung) == ["a", "a", "b"]


def test_the_sweep_rings_once_for_each_worker_that_can_start_a_job(
    player: Player, sweeper: Sweeper, bell: Bellringer
) -> None:
    for _ in range(5):
        player.submit()
    for name in ("one", "two", "three"):
        player.hello(worker_id=name)
    player.hello(worker_id="elsewhere", queue="other")

    sweeper.sweep_once()

    assert bell.rung == ["default"] * 3


@pytest.mark.parametrize(("able", "rings"), [(2, 4), (0, 1)])
def test_the_sweep_also_rings_for_workers_with_failed_devices_unless_every_device_has_failed(
    player: Player, sweeper: Sweeper, bell: Bellringer, able: int, rings: int
) -> None:
    """A worker takes rings even while its device has failed."""
    for _ in range(5):
        player.submit()
    for number in range(4):
        check = None if number == 0 and able else {"passed": number < able}
        player.hello(worker_id=f"worker-{number}", device_check=check)

    sweeper.sweep_once()

    assert bell.rung == ["default"] * rings


def test_the_server_rings_when_a_worker_returns_without_its_attempt(
    player: Player, bell: Bellringer, app: FastAPI
) -> None:
    app.state.doorbell = bell
    player.submit()
    player.sync(player.claim(idle={"slot": "s", "turn": 1}))
    bell.rung.clear()

    player.hello(idle={"slot": "s", "turn": 2})

    assert bell.rung == ["default"]


def test_the_sweep_does_not_ring_for_running_or_delayed_jobs(
    player: Player, database: Database, sweeper: Sweeper, bell: Bellringer
) -> None:
    player.submit()
    for _ in range(2):
        bell.rung.clear()
        player.claim()
        silence(database)
        sweeper.sweep_once()
    assert bell.rung == [], "the job waits after its second loss"
    assert player.post_claim().status_code == 204

    end_retry_delays(database)
    with database.writing() as session:
        session.execute(delete(Bell))
    sweeper.sweep_once()
    assert bell.rung == ["default"]
