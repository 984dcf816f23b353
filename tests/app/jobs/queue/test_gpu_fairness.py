"""Neither large nor small jobs starve: a fleet of two hosts claims and ends random jobs through the real endpoint."""

import random
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Job
from contracts.attempt import Claim
from contracts.job import JobStatus
from tests.app.jobs.queue.gpu_hosts import ask, card, end, submit
from tests.app.player import Player

SIZES: tuple[int | str, ...] = (1, 1, 1, 1, 2, 2, 3, 4, "all", 8)
"""How many GPUs the jobs need. No host has 8."""
JOBS = 40


@dataclass
class Host:
    """A host whose workers lend each other their cards."""

    name: str
    cards: int
    running: list[Claim] = field(default_factory=list)

    @property
    def free(self) -> int:
        """Number of idle cards."""
        return self.cards - sum(claim.gpus for claim in self.running)

    def can_run(self, gpus: int, largest: int) -> bool:
        """Return whether the host may start a job; a job for all cards (0) is left to the largest host."""
        return gpus <= self.cards if gpus else self.cards == largest


@dataclass
class Fleet:
    """Two hosts of different sizes, and the checks that every claim must pass."""

    player: Player
    database: Database
    random: random.Random
    hosts: tuple[Host, ...]
    started: list[str] = field(default_factory=list)

    def claim(self, host: Host) -> None:
        """Claim a job with a free card of a host, which sometimes cannot borrow all other free cards."""
        free = host.free if self.random.random() < 0.7 else self.random.randint(1, host.free)
        ahead = self._queued()
        worker = card(host.name, len(host.running), host.cards)
        claim = ask(self.player, worker, free)
        if claim is None:
            return
        place = [job.id for job in ahead].index(claim.job_id)
        job = ahead[place]
        assert claim.gpus == (job.gpus or min(job.most_gpus, host.cards)) <= free
        largest = max(each.cards for each in self.hosts)
        assert host.can_run(job.gpus, largest)
        overtaken = [
            job
            for job in ahead[:place]
            if host.can_run(job.gpus, largest) and job.reserved_host in {None, host.name}
        ]
        assert not overtaken, f"{host.name} with {free} free cards started {claim.job_id} too early"
        host.running.append(claim)
        self.started.append(claim.job_id)

    def end_one(self, host: Host) -> None:
        """End a random attempt of the host."""
        claim = host.running.pop(self.random.randrange(len(host.running)))
        end(self.player, claim)

    def step(self) -> None:
        """Claim a job with a random card of the fleet, or end its attempt."""
        host = self.random.choices(self.hosts, [host.cards for host in self.hosts])[0]
        if host.free and self.random.random() < 0.6:
            self.claim(host)
        elif host.running:
            self.end_one(host)

    def reserved(self) -> list[str | None]:
        """Return the reserved hosts of the queued jobs."""
        return [job.reserved_host for job in self._queued() if job.reserved_host]

    def _queued(self) -> list[Job]:
        with self.database.reading() as session:
            order = (Job.priority.desc(), Job.number)
            queued = select(Job).where(Job.status == JobStatus.QUEUED).order_by(*order)
            return list(session.scalars(queued))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_no_job_is_overtaken_on_a_host_that_can_run_it_and_every_job_that_fits_starts(
    player: Player, database: Database, seed: int
) -> None:
    choice = random.Random(seed)  # noqa: S311  # the same jobs in each run
    fleet = Fleet(player, database, choice, (Host("a", 4), Host("b", 2)))
    player.hello(**card("a", 0, 4))
    sizes = {}

    for _ in range(JOBS):
        size = choice.choice(SIZES)
        job = submit(player, size, priority=choice.choice((0, 0, 0, 1)))
        sizes[job] = size
        for _ in range(choice.randint(0, 4)):
            fleet.step()
            reserved = fleet.reserved()
            assert len(reserved) == len(set(reserved)), "a host gathers cards for one job at a time"
    for _ in range(20 * JOBS):
        if len(fleet.started) == sum(size != 8 for size in sizes.values()):
            break
        fleet.step()

    assert sorted(fleet.started) == sorted(job for job, size in sizes.items() if size != 8)


@pytest.mark.parametrize("gpus", [4, "all"])
def test_a_large_job_starts_after_the_jobs_ahead_of_it_however_many_small_ones_follow(
    player: Player, database: Database, gpus: int | str
) -> None:
    choice = random.Random(3)  # noqa: S311  # the same claims in each run
    fleet = Fleet(player, database, choice, (Host("a", 4),))
    (host,) = fleet.hosts
    for _ in range(6):
        submit(player)
    large = submit(player, gpus)

    ends = 0
    while large not in fleet.started:
        submit(player)  # small jobs keep arriving
        while host.free:
            before = host.free
            fleet.claim(host)
            if host.free == before:
                break
        if large not in fleet.started:
            fleet.end_one(host)
            ends += 1
        assert ends <= 6, "only the six jobs ahead of it may end first"

    assert fleet.started.index(large) == 6


def test_small_jobs_start_in_turn_however_many_large_ones_follow(
    player: Player, database: Database
) -> None:
    choice = random.Random(4)  # noqa: S311  # the same claims in each run
    fleet = Fleet(player, database, choice, (Host("a", 4),))
    (host,) = fleet.hosts
    submit(player, 4)
    small = submit(player)

    while small not in fleet.started:
        submit(player, 4)  # large jobs keep arriving
        if host.free:
            fleet.claim(host)
        if host.running and small not in fleet.started:
            fleet.end_one(host)
        assert len(fleet.started) <= 2

    assert fleet.started.index(small) == 1
