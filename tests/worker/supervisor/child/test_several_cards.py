"""The checks after an attempt on several cards. They are real processes; a file determines whether a card is broken."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.attempt import Device, DeviceCheck, Outcome, WorkerInfo
from contracts.failure import Failure, FailureReason
from tests.worker.supervisor.builders import hold
from worker.settings import Settings
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.stopping import StopFlag
from worker.supervisor.host.cards.gpu_lock import hold_device
from worker.supervisor.host.cards.held_cards import HeldCard
from worker.supervisor.host.check_timer import CheckTimer
from worker.supervisor.host.device_check import next_passed, read_check, write_check
from worker.supervisor.host.identity import worker_home

FAILS_IF_BROKEN = """
import os, pathlib, sys
place = pathlib.Path(sys.argv[-1]).parent
if (place / "broken").exists():
    sys.exit("CUDA error: the check sees " + os.environ["CUDA_VISIBLE_DEVICES"])
"""


class Host:
    """Three workers with one card each. All cards have passed a check, and the first worker has just used them all."""

    def __init__(self, directory: Path) -> None:
        self.settings = Settings(work_dir=directory, device_check_seconds=60, poll_seconds=0.01)
        self.workers = [
            WorkerInfo(worker_id=f"w{number}", device=Device(kind="cuda", uuid=f"GPU-{number}"))
            for number in range(3)
        ]
        self.homes = [worker_home(directory, worker.worker_id) for worker in self.workers]
        self.now = 1000.0
        self.guards = [
            DeviceGuard(
                self.settings,
                worker,
                os.environ,
                program=("-c", FAILS_IF_BROKEN),
                clock=lambda: self.now,
            )
            for worker in self.workers
        ]
        self.cards: list[HeldCard] = []

    def is_usable(self, number: int) -> bool:
        return self.guards[number].is_device_usable(self.cards[number], StopFlag(60))

    def explain(self, reason: FailureReason, **evidence: int) -> Failure:
        """End an attempt of the first worker with a failure; return the failure that it reports."""
        failure = Failure(reason=reason, detail="exited with -11", evidence=dict(evidence))
        outcome = self.guards[0].explain(
            Outcome(status="failed", failure=failure), self.cards, StopFlag(60), lambda: None
        )
        assert outcome.failure is not None
        if outcome.failure.reason is FailureReason.DEVICE_FAILED:
            self.guards[0].mark_failed(outcome.failure, self.cards)
        return outcome.failure

    def state(self, number: int) -> DeviceCheck:
        state = read_check(self.homes[number])
        assert state is not None
        return state

    def states(self) -> list[tuple[bool, bool]]:
        return [(self.state(number).passed, self.state(number).pending) for number in range(3)]


PASSED, FAILED, PENDING = (True, False), (False, False), (False, True)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    with ExitStack() as held:
        for worker, home in zip(host.workers, host.homes, strict=True):
            home.mkdir(parents=True)
            lock = held.enter_context(hold_device(tmp_path / "locks", worker.worker_id))
            host.cards.append(hold(lock, worker.device, home))
        assert all(host.is_usable(number) for number in range(3))
        yield host


@pytest.mark.parametrize("reason", ["crashed", "no_progress", "child_killed", "device_failed"])
def test_a_borrowed_card_that_fails_its_check_is_named_and_only_its_worker_stops(
    host: Host, reason: str
) -> None:
    (host.homes[2] / "broken").touch()

    failure = host.explain(FailureReason(reason), rank=1)

    assert failure.reason is FailureReason.DEVICE_FAILED
    assert failure.evidence == {"rank": 1, "card": "GPU-2"}
    assert "the check sees GPU-2" in failure.detail
    assert "exited with -11" in failure.detail
    assert host.states() == [PASSED, PASSED, FAILED]
    assert [host.is_usable(number) for number in range(3)] == [True, True, False]


def test_the_worker_of_a_card_that_failed_elsewhere_claims_again_once_it_passes_a_check(
    host: Host,
) -> None:
    (host.homes[1] / "broken").touch()
    host.explain(FailureReason.CRASHED)
    (host.homes[1] / "broken").unlink()

    assert not host.is_usable(1), "the next check is not due yet"
    host.now += 60
    assert host.is_usable(1)

    assert (host.state(1).passed, host.state(1).count) == (True, 2)


def test_if_every_card_passes_its_check_only_the_card_of_the_failed_rank_is_suspect(
    host: Host,
) -> None:
    failure = host.explain(FailureReason.DEVICE_FAILED, rank=2)

    assert failure.evidence == {"rank": 2, "card": "GPU-2"}
    assert host.states() == [PASSED, PASSED, PENDING]
    assert host.state(2).count == 1, "the next check by its own worker informs the server"
    assert host.is_usable(0)
    assert CheckTimer(host.settings, host.workers[2]).is_check_due(), (
        "due immediately, without a ring"
    )
    assert host.is_usable(2)
    assert host.state(2).count == 2


def test_a_failure_of_the_first_rank_is_attributed_to_the_workers_own_card(host: Host) -> None:
    failure = host.explain(FailureReason.DEVICE_FAILED)

    assert failure.evidence == {"card": "GPU-0"}
    assert host.states() == [PENDING, PASSED, PASSED]


def test_if_all_cards_pass_their_checks_the_reason_is_unchanged(host: Host) -> None:
    failure = host.explain(FailureReason.CRASHED, rank=1)

    assert failure == Failure(
        reason=FailureReason.CRASHED, detail="exited with -11", evidence={"rank": 1}
    )
    assert host.states() == [PASSED, PASSED, PASSED]


def test_several_cards_that_fail_are_all_stopped_and_the_detail_lists_them(host: Host) -> None:
    for number in (0, 2):
        (host.homes[number] / "broken").touch()

    failure = host.explain(FailureReason.CHILD_KILLED)

    assert failure.evidence["card"] == "GPU-0"
    assert "the check sees GPU-0" in failure.detail
    assert "the check sees GPU-2" in failure.detail
    assert host.states() == [FAILED, PASSED, FAILED]


def test_a_worker_detects_a_repair_that_another_process_has_recorded(host: Host) -> None:
    write_check(host.homes[0], next_passed(next_passed(None)))

    assert host.guards[0].state == read_check(host.homes[0])
    assert json.loads((host.homes[0] / "device_check.json").read_text())["count"] == 2
