"""RestartReport: a starting worker reports that its earlier attempts have ended; the server requeues their jobs.

Only the holder of the device lock may send this report. Another process may hold the lock: a process of an earlier
attempt that has not ended yet, or a sibling that has borrowed the card. In that case, or if the server is unreachable,
the report remains due until the pool process has sent it with a claim. The worker rings for itself to trigger that
claim: the server may not ring, because the jobs of dead attempts are not queued.
"""

import time
from collections.abc import Callable

import structlog

from contracts.attempt import Idle, WorkerInfo
from worker.settings import Settings
from worker.supervisor.host.cards.gpu_lock import (
    DeviceBusy,
    find_lock_dir,
    find_turn,
    hold_device,
    take_turn,
)
from worker.supervisor.host.clock import boottime
from worker.supervisor.host.identity import slot_name, with_current_state
from worker.supervisor.server.answers import Refused, ServerUnavailable
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)

DUE_SECONDS = 600.0
"""After this time, the server has already ended the earlier attempts without a report."""


class RestartReport:
    """Sends the report once, or tracks that it is still due."""

    def __init__(
        self,
        settings: Settings,
        worker: WorkerInfo,
        patience_seconds: float = 5.0,
        clock: Callable[[], float] = boottime,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`patience_seconds`: how long `try_now` waits for the device lock."""
        self._settings = settings
        self._worker = worker
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._wait = wait
        self._lock_dir = find_lock_dir(settings, worker.device)
        self._is_made = False
        self._turn: Idle | None = None
        """The lock's turn when the report could not be sent."""
        self._due_until = 0.0

    def try_now(self) -> None:
        """Send the report if the device lock is free.

        Call this before the pool forks; the pool process would inherit the lock.
        """
        name, token = slot_name(self._worker), self._settings.worker_token.get_secret_value()
        try:
            with (
                hold_device(self._lock_dir, name, self._patience_seconds, self._wait) as lock_fd,
                Server(self._settings.server_url, token, 0, 0) as server,
            ):
                current = with_current_state(self._worker, self._settings)
                server.hello(current.model_copy(update={"idle": take_turn(lock_fd)}))
        except (DeviceBusy, ServerUnavailable, Refused) as error:
            log.info(
                "could not report that earlier attempts have ended; trying again later",
                reason=f"{type(error).__name__}: {error}",
            )
            self._turn = self._find_turn()
            self._due_until = self._clock() + DUE_SECONDS
        else:
            self._is_made = True

    def is_due(self) -> bool:
        """Return whether the report is still due and this worker should ring now.

        Each claim sends it, and increments the lock's turn.
        """
        if not self._is_made:
            self._is_made = self._clock() >= self._due_until or self._find_turn() != self._turn
        return not self._is_made

    def _find_turn(self) -> Idle | None:
        return find_turn(self._lock_dir / f"{slot_name(self._worker)}.lock")
