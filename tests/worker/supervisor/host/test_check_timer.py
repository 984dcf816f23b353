"""When a worker rings its own doorbell, so that its failed GPU is checked again."""

import os
from pathlib import Path

import pytest

from contracts.attempt import Device, WorkerInfo
from tests.worker.supervisor.device_states import record_failed, record_passed
from worker.settings import Settings
from worker.supervisor.host.check_timer import CheckTimer
from worker.supervisor.host.identity import worker_home


class Bench:
    """A timer with a clock that only the test moves, and the stored state of a device."""

    def __init__(self, directory: Path, kind: str = "cuda") -> None:
        self.now = 1000.0
        settings = Settings(work_dir=directory, device_check_seconds=60)
        worker = WorkerInfo(worker_id="w", device=Device.model_validate({"kind": kind}))
        self.home = worker_home(directory, "w")
        self.home.mkdir(parents=True)
        self.timer = CheckTimer(settings, worker, clock=lambda: self.now)

    def fail_check(self) -> None:
        record_failed(self.home, "it broke")
        os.utime(self.home / "device_check.json", (self.now, self.now))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_check_is_due_only_while_the_device_has_failed(bench: Bench) -> None:
    assert not bench.timer.is_check_due()
    bench.fail_check()
    bench.now += 60
    assert bench.timer.is_check_due()

    record_passed(bench.home)
    bench.now += 60
    assert not bench.timer.is_check_due()


def test_a_check_is_due_at_most_once_per_interval_after_the_last_one(bench: Bench) -> None:
    bench.fail_check()
    bench.now += 59
    assert not bench.timer.is_check_due()
    bench.now += 1
    assert bench.timer.is_check_due()
    bench.now += 30
    assert not bench.timer.is_check_due()
    bench.fail_check()
    bench.now += 30
    assert not bench.timer.is_check_due()
    bench.now += 30
    assert bench.timer.is_check_due()


def test_a_clock_that_was_set_back_does_not_delay_a_check(bench: Bench) -> None:
    bench.fail_check()
    bench.now -= 500

    assert bench.timer.is_check_due()


def test_a_check_of_a_cpu_is_never_due(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cpu")
    bench.fail_check()
    bench.now += 60

    assert not bench.timer.is_check_due()
