"""CheckTimer: decides when the main process must ring to make the pool process recheck a failed GPU."""

import time
from collections.abc import Callable

from contracts.attempt import WorkerInfo
from worker.settings import Settings
from worker.supervisor.host.device_check import read_age_seconds, read_check
from worker.supervisor.host.identity import worker_home


class CheckTimer:
    """Reports a check as due at most once per `device_check_seconds`, and only while the GPU is recorded as failed.

    A GPU that failed during an attempt is checked immediately: a sibling may have stored the failure, and the server
    may not ring.
    """

    def __init__(
        self, settings: Settings, worker: WorkerInfo, clock: Callable[[], float] = time.time
    ) -> None:
        self._is_gpu = worker.device.kind == "cuda"
        self._seconds = settings.device_check_seconds
        self._home = worker_home(settings.work_dir, worker.worker_id)
        self._clock = clock
        self._rung_at: float | None = None

    def is_check_due(self) -> bool:
        """Return whether to ring now. Setting the clock back does not delay a check."""
        if not self._is_gpu:
            return False
        check, now = read_check(self._home), self._clock()
        if check is None or check.passed:
            self._rung_at = None
            return False
        age = None if check.pending else read_age_seconds(self._home, now)
        since_ring = None if self._rung_at is None else now - self._rung_at
        if any(each is not None and 0 <= each < self._seconds for each in (age, since_ring)):
            return False
        self._rung_at = now
        return True
