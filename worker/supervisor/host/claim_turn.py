"""The turn to borrow cards and claim, which the workers of one host take one after another.

The lock file of the turn names its holder. A worker that keeps its turn for too long, for example because it is suspended, does
not stop the others: they claim with their own card only, and the parent process (worker/fleet.py) restarts the holder.
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
"""Added to the patience of a claim. A request ends after 15 s without an answer."""
SURE_SECONDS = 1.0
"""How long a holder must be seen before it counts: a new holder writes its name just after it has locked the file."""


class TurnHolder(Tolerant):
    """The worker that has the turn."""

    worker: str
    pid: int
    since: float
    """By the monotonic clock, which all processes share; time during which the host was suspended does not count."""


class ClaimTurn:
    """Lets one worker of a host borrow and claim at a time. If two did, each might hold half of the cards that a job needs.

    A worker returns its turn only after it has released its own card, so the last of several claims sees every idle card.
    """

    def __init__(
        self,
        path: Path | None,
        worker: str,
        longest_seconds: float,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path`: the lock of the host; None if nothing can be borrowed. `wait` may raise to end the waiting."""
        self._path = path
        self._worker = worker
        self._longest_seconds = longest_seconds
        self._wait = wait
        self._clock = clock
        self._lock_fd: int | None = None

    def take(self) -> bool:
        """Wait for this worker's turn, and return whether it has it, so that it may borrow.

        It has none if nothing can be borrowed, or if another worker has kept its turn for longer than `longest_seconds`.
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
            # Before a restart of the host, its clock may have been ahead.
            since = seen_at if holder is None or holder.since > now else holder.since
            if now - seen_at >= SURE_SECONDS and now - since >= self._longest_seconds:
                log.warning(
                    "claiming without the cards of other workers, because one of them keeps its turn to claim",
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
        os.ftruncate(lock_fd, 0)  # the name of a worker that was killed
        try:
            os.pwrite(lock_fd, holder.model_dump_json().encode(), 0)
        except OSError as error:  # a full disk; the lock itself holds
            log.warning("could not write who has the turn to claim", reason=str(error))

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
    """Return how long a turn can take if nothing is wrong with its holder."""
    return claim_patience_seconds + LONGEST_REQUEST_SECONDS


def find_holder(path: Path) -> TurnHolder | None:
    """Return the worker that wrote its name last and has not returned its turn; it may have ended since."""
    try:
        return TurnHolder.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def find_stuck(path: Path, longest_seconds: float, now: float) -> TurnHolder | None:
    """Return the worker that has the turn if it has kept it for longer than `longest_seconds`. `now`: the monotonic clock."""
    holder = find_holder(path)
    if holder is None or now - holder.since < longest_seconds:
        return None
    lock_fd = try_lock(path)
    if lock_fd is not None:  # the holder has ended
        os.ftruncate(lock_fd, 0)
        os.close(lock_fd)
        return None
    return holder if find_holder(path) == holder else None
