"""A host is reserved for the next job that needs more of its GPUs than are free, which keeps the queue in order."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.jobs.queue.claims import Claimant, claim_best
from app.sweep.sweeper import Sweeper
from tests.app.bellringer import Bellringer
from tests.app.jobs.endings.test_device_failures import break_device, gpu
from tests.app.jobs.queue.gpu_hosts import ask, card, end, reserved_host, silence_host, submit, take
from tests.app.player import Player
from tests.app.sweep.test_sweep import end_retry_delays, silence


def test_a_host_gathers_cards_for_a_large_job_and_starts_no_later_job_before_it(
    player: Player, database: Database
) -> None:
    running = [submit(player) for _ in range(2)]
    claims = [take(player, card("a", n, 2), 1) for n in range(2)]
    assert [claim.job_id for claim in claims] == running
    large, small = submit(player, 2), submit(player)

    end(player, claims[0])
    assert ask(player, card("a", 0, 2), 1) is None, "the small job must not overtake the large one"
    assert reserved_host(database, large) == "a"
    end(player, claims[1])
    claim = take(player, card("a", 1, 2), 2)

    assert (claim.job_id, claim.gpus) == (large, 2)
    assert reserved_host(database, large) is None
    assert player.job(small)["status"] == "queued"
    end(player, claim)
    later = take(player, card("a", 0, 2), 1)
    assert later.job_id == small


def test_jobs_with_a_higher_priority_start_before_a_large_one_on_the_reserved_host(
    player: Player,
) -> None:
    submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None
    submit(player)
    urgent = submit(player, priority=5)

    claim = take(player, card("a", 1, 2), 1)

    assert claim.job_id == urgent
    assert ask(player, card("a", 2, 2), 1) is None


def test_moving_a_job_ahead_of_a_reserved_one_rings_the_doorbell_immediately(
    player: Player, bell: Bellringer
) -> None:
    submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None
    small = submit(player)
    bell.rung.clear()

    assert player.client.patch(f"/v1/jobs/{small}", json={"priority": 5}).is_success

    assert bell.rung
    assert take(player, card("a", 1, 2), 1).job_id == small


def test_other_hosts_skip_a_reserved_job_unless_they_can_start_it_immediately(
    player: Player, database: Database
) -> None:
    large, small = submit(player, 2), submit(player)
    assert ask(player, card("a", 1, 2), 1) is None

    claim = take(player, card("b", 1, 2), 1)
    assert claim.job_id == small
    end(player, claim)
    claim = take(player, card("b", 1, 2), 2)

    assert claim.job_id == large
    assert reserved_host(database, large) is None


def test_a_host_gathers_cards_only_for_the_first_large_job(
    player: Player, database: Database
) -> None:
    first = submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None
    urgent = submit(player, 2, priority=5)

    assert ask(player, card("a", 1, 2), 1) is None

    assert (reserved_host(database, urgent), reserved_host(database, first)) == ("a", None)
    assert ask(player, card("b", 1, 2), 1) is None
    assert reserved_host(database, first) == "b"


def test_a_job_that_is_too_large_for_every_host_blocks_no_other_job(
    player: Player, database: Database
) -> None:
    huge = submit(player, 8, priority=9)
    small, pair = submit(player), submit(player, 2)

    for free, job in ((1, small), (2, pair)):
        claim = take(player, card("a", free, 4), free)
        assert claim.job_id == job
    assert reserved_host(database, huge) is None


def test_when_the_reserved_host_dies_the_job_and_its_followers_go_to_other_hosts(
    player: Player, database: Database, settings: Settings, bell: Bellringer
) -> None:
    sweeper = Sweeper(database, settings, bell)
    sweeper.sweep_once()
    large, small = submit(player, 2), submit(player)
    assert ask(player, card("a", 1, 2), 1) is None
    player.hello(**card("b", 1, 2))
    sweeper.sweep_once()
    assert reserved_host(database, large) == "a", "a live host keeps its reservation"

    silence_host(database, "a")
    bell.rung.clear()
    sweeper.sweep_once()

    assert reserved_host(database, large) is None
    assert bell.rung
    assert ask(player, card("b", 1, 2), 1) is None, "b is now gathering cards for the large job"
    assert reserved_host(database, large) == "b"
    claim = take(player, card("b", 1, 2), 2)
    assert claim.job_id == large
    assert player.job(small)["status"] == "queued"


@pytest.mark.parametrize("change", [{"cards": 1}, {"models": ["other"]}, gpu("a-1", passed=False)])
def test_a_reservation_ends_when_its_host_can_no_longer_run_the_job(
    player: Player,
    database: Database,
    settings: Settings,
    bell: Bellringer,
    change: dict[str, Any],
) -> None:
    sweeper = Sweeper(database, settings, bell)
    job = submit(player, 2)
    assert ask(player, card("a", 1, 2), 1) is None

    player.hello(**card("a", 1, 2) | change)
    sweeper.sweep_once()

    assert reserved_host(database, job) is None


@pytest.mark.parametrize("action", ["cancel", "pause", "delete"])
def test_the_doorbell_rings_for_the_jobs_behind_a_reserved_job_that_leaves_the_queue(
    player: Player, database: Database, bell: Bellringer, action: str
) -> None:
    large, small = submit(player, 2), submit(player)
    player.hello(**card("b", 1, 2))
    assert ask(player, card("a", 1, 2), 1) is None
    bell.rung.clear()

    if action == "delete":
        assert player.client.delete(f"/v1/jobs/{large}").status_code == 200
    else:
        assert player.client.post(f"/v1/jobs/{large}/{action}").status_code == 200

    assert bell.rung == ["default"]
    assert reserved_host(database, large) is None
    claim = take(player, card("a", 1, 2), 1)
    assert claim.job_id == small


def test_a_reservation_rings_the_idle_workers_of_other_hosts_that_could_start_the_job(
    player: Player, bell: Bellringer
) -> None:
    for n in range(2):
        player.hello(**card("b", n, 2))
    submit(player, 2)
    bell.rung.clear()

    for _ in range(3):
        assert ask(player, card("a", 1, 2), 1) is None

    assert bell.rung == ["default"] * 2, "one ring, although the worker claims three times"


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_end_of_an_attempt_on_several_gpus_rings_once_for_each_gpu_with_a_job(
    player: Player, database: Database, settings: Settings, bell: Bellringer, is_lost: bool
) -> None:
    sweeper = Sweeper(database, settings, bell)
    sweeper.sweep_once()
    submit(player, 4)
    claim = take(player, card("a", 1, 4), 4)
    waiting = [submit(player) for _ in range(2)]
    bell.rung.clear()

    if is_lost:
        silence(database)
        sweeper.sweep_once()
    else:
        end(player, claim)

    # A lost job waits as well.
    assert bell.rung == ["default"] * (len(waiting) + is_lost)


def test_a_suspect_job_on_several_gpus_does_not_prevent_a_reservation_for_the_next_large_job(
    player: Player, database: Database
) -> None:
    suspect = submit(player, 2)
    worker = gpu("a-1", **{k: v for k, v in card("a", 1, 2).items() if k != "worker_id"})
    claim = take(player, worker, 2)
    break_device(player, claim)
    end_retry_delays(database)
    next_large = submit(player, 2, priority=1)

    again = worker | {"device_check": {"passed": True, "count": 2, "reason": ""}}
    assert ask(player, again, 1) is None

    assert reserved_host(database, next_large) == "a"
    assert player.job(suspect)["status"] == "queued"


def test_two_hosts_that_claim_at_the_same_time_reserve_different_jobs_and_never_share_one(
    player: Player, database: Database
) -> None:
    large = [submit(player, 2) for _ in range(2)]
    small = [submit(player) for _ in range(20)]
    both = Barrier(2)

    def gather(host: str) -> list[str]:
        both.wait()
        for _ in range(3):
            assert ask(player, card(host, 1, 2), 1) is None
        both.wait()
        return [take(player, card(host, n, 2), 2).job_id for n in range(6)]

    with ThreadPoolExecutor(2) as pool:
        taken = [job for jobs in pool.map(gather, "ab") for job in jobs]

    assert len(set(taken)) == len(taken)
    assert sorted(taken) == sorted(large + small[:10])


@pytest.mark.parametrize("worker", [{}, {"host_id": "a", "cards": 2, "free_cards": 1}])
def test_a_job_for_one_gpu_is_claimed_by_one_statement_even_behind_a_job_that_is_too_large(
    player: Player, database: Database, worker: dict[str, Any]
) -> None:
    submit(player, 3)
    small = submit(player)
    statements: list[str] = []
    event.listen(database.writer, "before_cursor_execute", lambda *sent: statements.append(sent[2]))

    with database.writing() as session:
        claimant = Claimant("default", database_now(session), **worker)
        session.connection()
        statements.clear()
        taken = claim_best(session, claimant, "att_1")
        sent = list(statements)

    assert taken.job is not None
    assert taken.job.id == small
    assert len(sent) == 1
