"""Silence: detects a training process that cannot report its own hang, because it is stopped or none of its threads can run.

The training program's own watchdog reports every other hang, with the stack. Its heartbeat thread runs in all phases, so a phase
that records nothing for long, such as loading or compiling, is not silent.
"""

import time
from collections.abc import Callable
from pathlib import Path

from contracts.failure import Failure, FailureReason
from contracts.run.exits import name_rank
from contracts.run.run_dir import RunDir, count_ranks

MARGIN_SECONDS = 60.0
MARGIN_SHARE = 0.1
"""The limit exceeds the watchdog's own by both margins, so that the watchdog, which knows the stack, reports first if it can."""
_MOST_AT_ONCE_SECONDS = 60.0
"""The most that a single look adds. If this process was stopped too, for instance with its container, that time does not count."""


class Silence:
    """Measures how long a training process has recorded nothing, and why it counts as hung."""

    def __init__(
        self,
        pid: int,
        run_dir: RunDir,
        hang_seconds: float,
        *,
        margin_seconds: float = MARGIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        proc: Path = Path("/proc"),
    ) -> None:
        self._status = proc / str(pid) / "status"
        self._run_dir = run_dir
        self._limit_seconds = hang_seconds * (1 + MARGIN_SHARE) + margin_seconds
        self._clock = clock
        self._seen = self._signs()
        self._looked_at = clock()
        self._silent_seconds = 0.0

    def look(self) -> Failure | None:
        """Return the failure if nothing was recorded for longer than the limit. Call this often, at least once a minute."""
        now, signs = self._clock(), self._signs()
        self._silent_seconds += min(now - self._looked_at, _MOST_AT_ONCE_SECONDS)
        self._looked_at = now
        if signs != self._seen:
            self._seen, self._silent_seconds = signs, 0.0
        return self._failure() if self._silent_seconds > self._limit_seconds else None

    def _signs(self) -> tuple[int | None, ...]:
        """Return the times at which the program last wrote the files that it keeps writing."""
        return tuple(
            _written_at(path)
            for path in (self._run_dir.heartbeat, self._run_dir.records, self._run_dir.progress)
        )

    def _failure(self) -> Failure:
        failure = Failure(
            reason=FailureReason.NO_PROGRESS,
            detail=f"the training process wrote no record and no heartbeat for {self._silent_seconds:.0f} s (its state: "
            f"{self._state()}). It was killed. Its own watchdog could not run, because the process was stopped or native code "
            "did not release the interpreter lock, so there is no stack",
            evidence={
                "silent_seconds": self._silent_seconds,
                "limit_seconds": self._limit_seconds,
            },
        )
        return name_rank(failure, 0) if count_ranks(self._run_dir) > 1 else failure

    def _state(self) -> str:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return "unknown"
        return next((line.split(":")[1].strip() for line in lines if line[:6] == "State:"), "")


def _written_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
