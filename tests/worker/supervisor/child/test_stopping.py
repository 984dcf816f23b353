import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.attempt import Wanted
from contracts.run.run_dir import Control, RunDir
from tests.worker.supervisor.builders import hold
from worker.supervisor.child.process import Child, start_child
from worker.supervisor.child.stopping import (
    StopFlag,
    Stopped,
    Stopping,
    ended_as,
    stop_on_sigterm,
)

IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@pytest.fixture
def child(run_dir: RunDir) -> Iterator[Child]:
    lock_fd = os.open(run_dir.path / "lock", os.O_RDWR | os.O_CREAT)
    process = start_child(run_dir, [hold(lock_fd)], os.environ, ("-c", IGNORES_SIGTERM))
    while not run_dir.output.read_text():
        assert not process.wait(0.02)
    yield process
    process.kill()
    process.wait(5)
    os.close(lock_fd)


def test_a_cancel_escalates_from_the_control_file_to_sigterm_and_then_sigkill(
    child: Child, run_dir: RunDir
) -> None:
    clock = Clock()
    stopping = Stopping(child, run_dir, control_seconds=30, term_seconds=20, clock=clock)

    stopping.follow(Wanted.CANCEL, is_shutting_down=False)
    control = Control.model_validate_json(run_dir.control.read_text())
    assert control.wanted is Wanted.CANCEL
    clock.now = 30
    stopping.follow(Wanted.CANCEL, is_shutting_down=False)  # sends SIGTERM, which the child ignores
    clock.now = 49
    stopping.follow(Wanted.CANCEL, is_shutting_down=False)
    assert not child.wait(0.1)
    clock.now = 50
    stopping.follow(Wanted.CANCEL, is_shutting_down=False)
    assert child.wait(5)
    assert child.exit_code == -signal.SIGKILL


def test_a_withdrawn_pause_does_not_stop_the_child(child: Child, run_dir: RunDir) -> None:
    clock = Clock()
    stopping = Stopping(child, run_dir, control_seconds=30, term_seconds=0, clock=clock)

    stopping.follow(Wanted.PAUSE, is_shutting_down=False)
    stopping.follow(Wanted.CONTINUE, is_shutting_down=False)
    clock.now = 100
    stopping.follow(Wanted.CONTINUE, is_shutting_down=False)
    stopping.follow(Wanted.CONTINUE, is_shutting_down=False)

    control = Control.model_validate_json(run_dir.control.read_text())
    assert control.wanted is Wanted.CONTINUE
    assert not child.wait(0.1)


def test_a_shutdown_sends_sigterm_immediately(child: Child, run_dir: RunDir) -> None:
    clock = Clock()
    stopping = Stopping(child, run_dir, control_seconds=30, term_seconds=5, clock=clock)

    stopping.follow(Wanted.CONTINUE, is_shutting_down=True)
    clock.now = 5
    stopping.follow(Wanted.CONTINUE, is_shutting_down=True)

    assert child.wait(5)


def test_sigterm_sets_the_stop_flag_and_the_old_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm(grace_seconds=5) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set
    assert signal.getsignal(signal.SIGTERM) == before


def test_waiting_ends_when_the_grace_period_is_over() -> None:
    stop = StopFlag(grace_seconds=0)
    stop.set()

    with pytest.raises(Stopped):
        stop.wait(60)


@pytest.mark.parametrize(
    ("wanted", "is_shutting_down", "expected"),
    [
        (Wanted.CONTINUE, False, None),
        (Wanted.CONTINUE, True, "interrupted"),
        (Wanted.PAUSE, True, "paused"),
        (Wanted.CANCEL, True, "cancelled"),
    ],
)
def test_the_status_of_a_stopped_attempt_depends_on_the_reason_for_the_stop(
    wanted: Wanted, is_shutting_down: bool, expected: str | None
) -> None:
    assert ended_as(wanted, is_shutting_down) == expected
