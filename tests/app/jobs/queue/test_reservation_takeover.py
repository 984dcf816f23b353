"""A host that does not start its reserved job loses the reservation to another host. No host keeps two reservations."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Job
from app.sweep.sweeper import Sweeper
from tests.app.bellringer import Bellringer
from tests.app.jobs.queue.gpu_hosts import ask, card, end, reserved_host, submit, take
from tests.app.player import Player


def reserve_earlier(database: Database, job: str, minutes: int) -> None:
    """Make a job's reservation look older."""
    with database.writing() as session:
        stored = session.scalars(select(Job).where(Job.id == job)).one()
        assert stored.reserved_until is not None
        stored.reserved_until -= timedelta(minutes=minutes)


def test_a_job_reserved_for_a_host_with_a_long_attempt_is_taken_over_by_another_host(
    player: Player, database: Database, bell: Bellringer
) -> None:
    submit(player)
    take(player, card("a", 0, 4), 1)  # an attempt that takes days
    large, small = submit(player, 4), submit(player)
    player.hello(**card("a", 1, 4))
    assert ask(player, card("a", 1, 4), 3) is None
    reserve_earlier(database, large, 29)
    claim = take(player, card("b", 1, 4), 1)
    assert claim.job_id == small
    end(player, claim)

    reserve_earlier(database, large, 1)
    bell.rung.clear()
    later = submit(player)
    assert ask(player, card("b", 1, 4), 1) is None, "b is now gathering cards"

    assert reserved_host(database, large) == "b"
    assert bell.rung, "the idle cards of a can start the small job"
    other = take(player, card("a", 1, 4), 3)
    assert other.job_id == later
    claim = take(player, card("b", 1, 4), 4)
    assert claim.job_id == large


def test_each_reservation_of_a_job_lasts_twice_as_long_as_the_previous_one(
    player: Player, database: Database
) -> None:
    large = submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None

    for host, minutes in (("b", 30), ("a", 60), ("b", 120)):
        reserve_earlier(database, large, minutes - 1)
        assert ask(player, card(host, 1, 2), 1) is None
        assert reserved_host(database, large) != host
        reserve_earlier(database, large, 1)
        assert ask(player, card(host, 1, 2), 1) is None
        assert reserved_host(database, large) == host


def test_a_host_keeps_its_reservation_if_no_other_host_claims(
    player: Player, database: Database
) -> None:
    large, _ = submit(player, 2), submit(player)
    assert ask(player, card("a", 1, 2), 1) is None
    reserve_earlier(database, large, 1000)

    assert ask(player, card("a", 1, 2), 1) is None

    assert take(player, card("a", 1, 2), 2).job_id == large


def test_other_hosts_are_rung_when_the_reserved_host_starts_to_gather_for_another_job(
    player: Player, bell: Bellringer
) -> None:
    submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None
    player.hello(**card("b", 1, 2))
    submit(player, 2, priority=5)
    bell.rung.clear()

    assert ask(player, card("a", 1, 2), 1) is None

    assert bell.rung


def test_a_reservation_does_not_end_the_same_hosts_reservation_in_another_queue(
    player: Player, database: Database
) -> None:
    elsewhere = submit(player, 2, queue="other")
    assert ask(player, card("a", 1, 2) | {"queue": "other"}, 1) is None
    job = submit(player, 2)

    assert ask(player, card("a", 2, 2), 1) is None

    assert (reserved_host(database, elsewhere), reserved_host(database, job)) == ("a", "a")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_host_does_not_wait_for_a_job_that_another_request_is_changing(
    player: Player, database: Database
) -> None:
    first = submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None
    urgent = submit(player, 2, priority=5)

    with ThreadPoolExecutor(1) as pool, database.writing() as session:
        session.scalars(select(Job).where(Job.id == first).with_for_update()).one()
        assert pool.submit(ask, player, card("a", 1, 2), 1).result(timeout=60) is None

    assert reserved_host(database, urgent) == "a"


def test_the_sweep_keeps_only_the_first_reservation_of_a_host(
    player: Player, database: Database, settings: Settings, bell: Bellringer
) -> None:
    second = submit(player, 2)
    first = submit(player, 2, priority=5)
    assert ask(player, card("a", 1, 2), 1) is None
    with database.writing() as session:
        session.scalars(select(Job).where(Job.id == second)).one().reserved_host = "a"

    Sweeper(database, settings, bell).sweep_once()

    assert (reserved_host(database, first), reserved_host(database, second)) == ("a", None)
