"""A worker claims jobs only while its GPU works. The checks are real processes with scripted results."""

import os
import signal
from pathlib import Path

import pytest

from contracts.attempt import Device, DeviceCheck, Outcome, WorkerInfo
from contracts.failure import Failure, FailureReason
from tests.worker.supervisor.builders import hold
from worker.settings import Settings
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.stopping import StopFlag, Stopped, stop_on_sigterm
from worker.supervisor.host.cards.gpu_lock import hold_device
from worker.supervisor.host.device_check import read_check
from worker.supervisor.host.identity import worker_home

GPU = WorkerInfo(worker_id="w", device=Device(kind="cuda", name="A100", uuid="GPU-1"))
FAILS_IF_BROKEN = """
import pathlib, sys
place = pathlib.Path(sys.argv[-1]).parent
with (place / "checks").open("a") as file:
    file.write("check\\n")
if (place / "broken").exists():
    sys.exit("CUDA error: the device is broken")
"""


class Bench:
    """A guard, a clock that only the test moves, and a device that the test can break."""

    def __init__(self, directory: Path, code: str = FAILS_IF_BROKEN) -> None:
        self.settings = Settings(work_dir=directory, device_check_seconds=60, poll_seconds=0.01)
        self.directory, self.code = directory, code
        self.home = worker_home(directory, "w")
        self.now = 1000.0
        self.stop = StopFlag(60)
        self.guard = self.new_process()

    def new_process(self, worker: WorkerInfo = GPU) -> DeviceGuard:
        """Return the guard of a worker process that has just started."""
        return DeviceGuard(
            self.settings,
            worker,
            os.environ | {"SECRET": "x", "STEPLINE_WORKER_TOKEN": "t"},
            program=("-c", self.code),
            clock=lambda: self.now,
        )

    def is_usable(self) -> bool:
        with hold_device(self.directory / "locks", "gpu") as lock_fd:
            return self.guard.is_device_usable(hold(lock_fd, GPU.device, self.home), self.stop)

    def mark_failed(self, detail: str) -> None:
        failure = Failure(reason=FailureReason.DEVICE_FAILED, detail=detail)
        self.guard.mark_failed(failure, [hold(-1, GPU.device, self.home)])

    def break_device(self) -> None:
        (self.home / "broken").touch()

    def repair_device(self) -> None:
        (self.home / "broken").unlink()

    @property
    def checks(self) -> int:
        path = self.home / "checks"
        return len(path.read_text().splitlines()) if path.exists() else 0

    @property
    def state(self) -> DeviceCheck:
        check = read_check(self.home)
        assert check is not None
        return check


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.home.mkdir(parents=True)
    return bench


def test_a_process_checks_its_device_once_before_its_first_claim(bench: Bench) -> None:
    assert bench.is_usable()
    assert bench.is_usable()
    assert bench.checks == 1
    assert (bench.state.passed, bench.state.count) == (True, 1)

    bench.guard = bench.new_process()
    assert bench.is_usable()
    assert (bench.checks, bench.state.count) == (2, 2)


def test_a_device_that_fails_its_check_is_checked_again_only_after_a_while(bench: Bench) -> None:
    bench.break_device()

    assert not bench.is_usable()
    bench.now += 59
    assert not bench.is_usable()
    assert bench.checks == 1
    assert (bench.state.passed, bench.state.pending) == (False, False)
    assert "the device is broken" in bench.state.reason

    bench.now += 1
    assert not bench.is_usable()
    assert bench.checks == 2

    bench.repair_device()
    bench.now += 60
    assert bench.is_usable()
    assert (bench.checks, bench.state.passed, bench.state.count) == (3, True, 1)


def test_a_device_that_failed_during_an_attempt_is_checked_before_the_next_claim(
    bench: Bench,
) -> None:
    assert bench.is_usable()

    bench.mark_failed("CUDA error: unspecified launch failure")
    assert (bench.state.passed, bench.state.pending, bench.state.count) == (False, True, 1)
    assert "launch failure" in bench.state.reason

    assert bench.is_usable()
    assert (bench.checks, bench.state.passed, bench.state.count) == (2, True, 2)


def test_a_cpu_is_never_checked_and_never_marked_as_failed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.guard = bench.new_process(WorkerInfo(worker_id="w"))

    bench.mark_failed("bitsandbytes is broken")

    assert bench.is_usable()
    assert not bench.home.exists()


def test_a_check_that_hangs_is_killed_with_its_children_and_counts_as_failed(
    tmp_path: Path,
) -> None:
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    bench = Bench(tmp_path, code)
    bench.guard = DeviceGuard(
        bench.settings, GPU, os.environ, program=("-c", code), check_seconds=0.5
    )

    assert not bench.is_usable()

    assert "did not finish within" in bench.state.reason
    with hold_device(tmp_path / "locks", "gpu", patience_seconds=0):
        pass  # would raise DeviceBusy if a process still held the lock


def test_a_check_holds_the_device_lock_and_gets_the_environment_of_a_training_process(
    tmp_path: Path,
) -> None:
    code = (
        "import fcntl, os, sys\n"
        f"file = open({str(tmp_path / 'locks' / 'gpu.lock')!r})\n"
        "try:\n    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError:\n    print('locked')\n"
        "print(os.environ['CUDA_VISIBLE_DEVICES'], 'SECRET' in os.environ, "
        "[name for name in os.environ if name.startswith('STEPLINE_')], os.getpgid(0) == os.getpid())\n"
        "sys.exit(1)"
    )
    bench = Bench(tmp_path, code)

    assert not bench.is_usable()

    assert bench.state.reason == "locked\nGPU-1 False ['STEPLINE_LOCK_FDS'] True"


def test_a_stop_signal_ends_a_check_without_a_result(tmp_path: Path) -> None:
    pid = os.getpid()
    code = f"import os, time; os.kill({pid}, {int(signal.SIGTERM)}); time.sleep(60)"
    bench = Bench(tmp_path, code)

    with stop_on_sigterm(60) as stop:
        bench.stop = stop
        with pytest.raises(Stopped):
            bench.is_usable()

    assert read_check(bench.home) is None
    with hold_device(tmp_path / "locks", "gpu", patience_seconds=0):
        pass  # would raise DeviceBusy if the check still ran


def test_a_pool_process_that_replaces_another_continues_its_count_of_checks(bench: Bench) -> None:
    replacement = bench.new_process()  # a fork of the main process, in which no check takes place
    assert bench.is_usable()
    bench.mark_failed("it broke")
    assert bench.is_usable()

    bench.guard = replacement
    assert bench.is_usable()

    assert bench.state.count == 3


def test_a_full_disk_does_not_stop_claims(bench: Bench) -> None:
    (bench.home / "device_check.json").mkdir()  # so that the state cannot be stored

    assert bench.is_usable()

    assert bench.guard.state is not None
    assert (bench.guard.state.passed, bench.guard.state.count) == (True, 1)
    bench.mark_failed("it broke")
    assert bench.is_usable()
    assert (bench.checks, bench.guard.state.count) == (2, 2)


def fail(reason: FailureReason) -> Outcome:
    return Outcome(status="failed", failure=Failure(reason=reason, detail="exited with -11"))


def explain(bench: Bench, outcome: Outcome, pulses: list[int]) -> Outcome:
    with hold_device(bench.directory / "locks", "gpu") as lock_fd:
        card = hold(lock_fd, GPU.device, bench.home)
        return bench.guard.explain(outcome, [card], bench.stop, lambda: pulses.append(1))


@pytest.mark.parametrize("reason", ["crashed", "no_progress", "child_killed"])
def test_the_failure_of_an_attempt_is_blamed_on_a_device_that_fails_its_check_afterwards(
    bench: Bench, reason: str
) -> None:
    assert bench.is_usable()
    bench.break_device()
    pulses: list[int] = []

    explained = explain(bench, fail(FailureReason(reason)), pulses).failure

    assert explained is not None
    assert explained.reason is FailureReason.DEVICE_FAILED
    assert "the device is broken" in explained.detail
    assert "exited with -11" in explained.detail
    assert pulses, "the attempt must keep its lease during the check"
    bench.mark_failed(explained.detail)
    assert (bench.state.passed, bench.state.pending) == (False, False)
    assert not bench.is_usable()
    assert bench.checks == 2


def test_a_failure_is_not_blamed_on_a_device_that_passes_its_check(bench: Bench) -> None:
    assert bench.is_usable()
    outcome = fail(FailureReason.CRASHED)

    assert explain(bench, outcome, []) == outcome

    assert (bench.checks, bench.state.count) == (2, 2)
    assert bench.is_usable()


def test_failures_with_another_cause_need_no_check(bench: Bench) -> None:
    assert bench.is_usable()
    bench.break_device()
    outcomes = [fail(FailureReason.DATASET_INVALID), Outcome(status="cancelled")]

    for outcome in outcomes:
        assert explain(bench, outcome, []) == outcome

    assert bench.checks == 1


def test_a_worker_that_now_uses_the_cpu_forgets_the_state_of_its_gpu(bench: Bench) -> None:
    bench.break_device()
    assert not bench.is_usable()

    guard = bench.new_process(WorkerInfo(worker_id="w"))

    assert guard.state is None
    assert read_check(bench.home) is None
