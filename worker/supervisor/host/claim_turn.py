"""The turn to borrow cards and claim. Only one worker of a host has it at a time.

The lock file contains the holder's name. A worker that holds its turn for too long, for example because it is
suspended, does not block the others: each claims with only its own card, and the parent process (worker/fleet.py)
restarts the holder.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from pydantic import ValidationError

from contracts.base import Tolerant
from worker.supervisor.host.cards.gpu_lock import try_lock

log = structlog.get_logger(__name__)

SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.05
LONGEST_REQUEST_SECONDS = 60.0
"""Added to the time limit of a claim. A request times out after 15 s without a response."""
SURE_SECONDS = 1.0
"""How long a holder must be observed before it counts: a new holder locks the file before it writes its name."""


class TurnHolder(Tolerant):
    """The worker that has the turn."""

    worker: str
    pid: int
    since: float
    """Monotonic time, which is the same in all processes and excludes time during which the host was suspended."""


class ClaimTurn:
    """Lets only one worker of a host borrow and claim at a time.

    Otherwise, two workers might each hold half of the cards that a job needs. A worker ends its turn only after it has
    released its own card, so the last of several claims sees every idle card.
    """

    def __init__(
        self,
        path: Path | None,
        worker: str,
        longest_seconds: float,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path`: the host's lock file; None if nothing can be borrowed. `wait` may raise to stop waiting."""
        self._path = path
        self._worker = worker
        self._longest_seconds = longest_seconds
        self._wait = wait
        self._clock = clock
        self._lock_fd: int | None = None

    def take(self) -> bool:
        """Wait for this worker's turn to borrow; return whether it has the turn.

        Returns False if nothing can be borrowed, or if another worker has held its turn for longer than
        `longest_seconds`.
        """
        pause = SHORTEST_PAUSE_SECONDS
        seen, seen_at = None, self._clock()
        while self._path is not None and self._lock_fd is None:
            self._lock_fd = try_lock(self._path)
            if self._lock_fd is not None:
                self._write_name(self._lock_fd)
                break
            holder, now = find_holder(self._path), self._clock()
            if holder != seen:
                seen, seen_at = holder, now
            # A time in the future was written before a restart of the host.
            since = seen_at if holder is None or holder.since > now else holder.since
            if now - seen_at >= SURE_SECONDS and now - since >= self._longest_seconds:
                log.warning(
                    "claiming without other workers' cards, because one of them has held its turn for too long",
                    holder=None if holder is None else holder.worker,
                    holder_pid=None if holder is None else holder.pid,
                    seconds=round(now - since),
                )
                return False
            self._wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return self._lock_fd is not None

    def give_back(self) -> None:
        """Let the next worker claim."""
        if self._lock_fd is not None:
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = None

    def _write_name(self, lock_fd: int) -> None:
        holder = TurnHolder(worker=self._worker, pid=os.getpid(), since=self._clock())
        os.ftruncate(lock_fd, 0)  # remove the name of a worker that was killed
        try:
            os.pwrite(lock_fd, holder.model_dump_json().encode(), 0)
        except OSError as error:  # a full disk; the lock is still held
            log.warning("could not write which worker has the turn to claim", reason=str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()


def turn_path(lock_dir: Path, host: str) -> Path:
    """Return the lock file of a host's turn. `host`: the host's id as a path component."""
    return lock_dir / f"{host}.claim"


def longest_turn_seconds(claim_patience_seconds: float) -> float:
    """Return how long a healthy worker can hold its turn."""
    return claim_patience_seconds + LONGEST_REQUEST_SECONDS


def find_holder(path: Path) -> TurnHolder | None:
    """Return the last recorded holder, unless it has ended its turn. Its process may no longer exist."""
    try:
        return TurnHolder.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def find_stuck(path: Path, longest_seconds: float, now: float) -> TurnHolder | None:
    """Return the worker that has held the turn for longer than `longest_seconds`. `now`: monotonic time."""
    holder = find_holder(path)
    if holder is None or now - holder.since < longest_seconds:
        return None
    lock_fd = try_lock(path)
    if lock_fd is not None:  # the holder has ended
        os.ftruncate(lock_fd, 0)
        os.close(lock_fd)
        return None
    return holder if find_holder(path) == holder else None
