"""Stops a running attempt with a request in the control file, then with SIGTERM, then with SIGKILL.

Also provides the flag that SIGTERM sets in this process. The worker then hands its job back instead of losing it.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from contracts.attempt import Wanted
from contracts.run.run_dir import Control, RunDir, write_model
from worker.supervisor.child.outcome import EndedAs
from worker.supervisor.child.process import Child
from worker.supervisor.host.clock import boottime

log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The attempt must stop, and its training process has not written an outcome."""

    def __init__(self, status: EndedAs) -> None:
        super().__init__(status)
        self.status: EndedAs = status


class StopFlag:
    """Records whether this worker must stop. Uses plain attributes, because a signal handler sets them."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._give_up_at: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether this worker must stop."""
        return self._give_up_at is not None

    @property
    def left(self) -> float:
        """The remaining fraction of the grace period; 1 until the flag is set."""
        if self._give_up_at is None:
            return 1.0
        left_seconds = self._give_up_at - boottime()
        return max(0.0, left_seconds / self._grace_seconds) if self._grace_seconds else 0.0

    def set(self) -> None:
        """Set the flag; a second call changes nothing."""
        if self._give_up_at is None:
            self._give_up_at = boottime() + self._grace_seconds

    def wait(self, seconds: float) -> None:
        """Sleep. Raises Stopped once the flag has been set for longer than the grace period."""
        end = boottime() + seconds
        while (left := end - boottime()) > 0:
            if self._give_up_at is not None and boottime() >= self._give_up_at:
                raise Stopped("interrupted")
            time.sleep(min(left, 0.1))


@contextmanager
def stop_on_sigterm(grace_seconds: float) -> Iterator[StopFlag]:
    """Turn SIGTERM into a flag while the block runs. By default SIGTERM kills Celery's pool processes."""
    flag = StopFlag(grace_seconds)

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
        flag.set()

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGTERM, previous)


def ended_as(wanted: Wanted, is_shutting_down: bool) -> EndedAs | None:
    """Return the status of an attempt that stops now because of `wanted` or a shutdown; None if it should continue."""
    if wanted is Wanted.CANCEL:
        return "cancelled"
    if wanted is Wanted.PAUSE:
        return "paused"
    return "interrupted" if is_shutting_down else None


class Stopping:
    """Makes a child obey `wanted`, in steps: control file, then SIGTERM, then SIGKILL."""

    def __init__(
        self,
        child: Child,
        run_dir: RunDir,
        control_seconds: float,
        term_seconds: float,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._child = child
        self._run_dir = run_dir
        self._control_seconds = control_seconds
        self._term_seconds = term_seconds
        self._clock = clock
        self._control = Wanted.CONTINUE
        self._term_at: float | None = None
        self._kill_at: float | None = None

    def follow(self, wanted: Wanted, is_shutting_down: bool) -> None:
        """Take the next step if it is due."""
        now = self._clock()
        if wanted is not self._control:
            write_model(self._run_dir.control, Control(wanted=wanted))
            self._control = wanted
            self._term_at = None if wanted is Wanted.CONTINUE else now + self._control_seconds
        if is_shutting_down and self._kill_at is None:
            self._term_at = now
        if self._kill_at is not None:
            if now >= self._kill_at:
                log.warning("the training process did not end; killing it")
                self._child.kill()
        elif self._term_at is not None and now >= self._term_at:
            self._child.terminate()
            self._kill_at = now + self._term_seconds
