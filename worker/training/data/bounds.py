"""Limits the CPU time and memory of a chat template, which is code supplied with the model; stops it on request.

An exception from a signal handler ends an endless loop, but cannot interrupt a single operation of the interpreter. If
such an operation takes too long, another signal, which the supervisor recognizes, kills this process.
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from contracts.run.run_dir import RUNAWAY_SIGNAL

RENDER_SECONDS = 10.0
"""CPU time limit per row. A row takes about 50 microseconds, and a conversation of 1,000 exchanges about 8 seconds."""
RUNAWAY_SECONDS = 30.0
"""CPU time per row after which the process is killed, if the signal handler could not end the rendering."""
RENDER_BYTES = 1024**3
"""Memory that rendering may allocate beyond the process's current memory; 250 times the size of the longest row."""
POLL_SECONDS = 0.25
"""Time between two checks for a stop request."""
_RAISE_AGAIN_SECONDS = 0.1

_P = ParamSpec("_P")
_T = TypeVar("_T")


class OutOfBounds(Exception):
    """The template exceeded a limit. The message completes a sentence that begins 'the model's chat template'."""


def _do_nothing() -> None: ...


class Bounds:
    """Runs untrusted code in the main thread under limits. `check` is called regularly and may raise to stop it."""

    def __init__(
        self,
        check: Callable[[], None] = _do_nothing,
        seconds: float = RENDER_SECONDS,
        runaway_seconds: float = RUNAWAY_SECONDS,
        memory_bytes: int = RENDER_BYTES,
    ) -> None:
        self._check = check
        self._seconds = seconds
        self._runaway_seconds = runaway_seconds
        self._memory_bytes = memory_bytes
        self._inside = False
        self._checked_at = time.monotonic()

    def poll(self) -> None:
        """Call `check` if the last call was at least POLL_SECONDS ago. Call this in loops over rows."""
        if time.monotonic() - self._checked_at >= POLL_SECONDS:
            self._checked_at = time.monotonic()
            self._check()

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Allow `call` within the block. Main thread only; other code in the block must not need much memory."""
        handlers: dict[signal.Signals, Any] = {
            signal.SIGALRM: self._on_poll,
            signal.SIGVTALRM: self._on_time_up,
            RUNAWAY_SIGNAL: signal.SIG_DFL,
        }
        with contextlib.ExitStack() as undo:
            for number, handler in handlers.items():
                undo.callback(signal.signal, number, signal.signal(number, handler))
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
            limit = min([_address_space_bytes() + self._memory_bytes, *limits])
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
            undo.callback(resource.setrlimit, resource.RLIMIT_AS, (soft, hard))
            yield

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function under the limits. Raises OutOfBounds and the errors of `check`."""
        signal.setitimer(signal.ITIMER_PROF, self._runaway_seconds)
        signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, _RAISE_AGAIN_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, POLL_SECONDS, POLL_SECONDS)
        try:
            self._inside = True
            return function(*args, **kwargs)
        except MemoryError as error:
            raise OutOfBounds(f"needs more than {self._memory_bytes:,} bytes of memory") from error
        finally:
            self._inside = False
            for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
                signal.setitimer(timer, 0)

    # The handlers raise only inside the untrusted code, because other code does not expect the exception. They raise
    # repeatedly, because the untrusted code may catch it.

    def _on_poll(self, _number: int, _frame: object) -> None:
        if self._inside:
            self._check()

    def _on_time_up(self, _number: int, _frame: object) -> None:
        if self._inside:
            raise OutOfBounds(f"needs more than {self._seconds:g} seconds of CPU time")


def _address_space_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # one short read from procfs
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
