import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.run.run_dir import RUNAWAY_SIGNAL
from worker.training.data.bounds import Bounds, OutOfBounds
from worker.training.errors import StopRequested
from worker.training.rundir.stop import Stop


def forever() -> None:
    while True:
        pass


def catch_everything() -> None:
    while True:
        try:
            forever()
        except OutOfBounds:
            break
    forever()


def call(bounds: Bounds, function: Callable[[], Any]) -> Any:
    with bounds.prepared():
        return bounds.call(function)


@pytest.mark.parametrize("endless", [forever, catch_everything])
def test_an_endless_loop_is_ended_even_if_it_catches_the_first_exception(endless: Any) -> None:
    with pytest.raises(OutOfBounds, match=r"needs more than 0\.2 seconds of CPU time"):
        call(Bounds(seconds=0.2), endless)


def test_sigterm_ends_an_endless_loop(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop(tmp_path / "control.json")

    def endless() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        forever()

    try:
        stop.listen()
        with pytest.raises(StopRequested, match="interrupted"):
            call(Bounds(stop.check, seconds=1000), endless)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_memory_beyond_the_bound_is_an_error_and_the_limit_ends_with_the_block() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    bounds = Bounds(memory_bytes=50_000_000)

    with pytest.raises(OutOfBounds, match="needs more than 50,000,000 bytes of memory"):
        call(bounds, lambda: "x" * 100_000_000)

    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len("x" * 100_000_000) == 100_000_000


def test_signal_handlers_are_restored_and_no_timer_is_left() -> None:
    numbers = (signal.SIGALRM, signal.SIGVTALRM, RUNAWAY_SIGNAL)
    before = [signal.getsignal(number) for number in numbers]

    assert call(Bounds(), lambda: 7) == 7

    assert [signal.getsignal(number) for number in numbers] == before
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        assert signal.getitimer(timer) == (0.0, 0.0)


def test_the_time_spent_in_one_call_does_not_count_towards_the_next() -> None:
    def work() -> int:
        return sum(range(2_000_000))  # about 50 ms

    bounds = Bounds(seconds=0.5)
    with bounds.prepared():
        assert {bounds.call(work) for _ in range(15)} == {sum(range(2_000_000))}


def test_polling_checks_for_a_stop_from_time_to_time() -> None:
    checked = threading.Event()
    bounds = Bounds(checked.set)

    while not checked.is_set():  # until the first check
        bounds.poll()


UNINTERRUPTIBLE = """
from worker.training.data.bounds import Bounds

def compare():
    a, b = [1], [1]
    for _ in range(40):
        a, b = [a, a], [b, b]
    return a == b

bounds = Bounds(seconds=0.2, runaway_seconds=0.5)
with bounds.prepared():
    bounds.call(compare)
"""


def test_an_uninterruptible_operation_ends_the_process_with_the_runaway_signal() -> None:
    done = subprocess.run([sys.executable, "-c", UNINTERRUPTIBLE], timeout=60, check=False)

    assert done.returncode == -RUNAWAY_SIGNAL
