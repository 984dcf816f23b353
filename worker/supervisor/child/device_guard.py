"""DeviceGuard: a worker claims jobs only while its GPU works.

The check is a small 4-bit product in a separate process (`python -m worker.training --check-device`), because a process that
has lost its GPU cannot get it back. It runs before the first claim of each worker process and after each attempt that ended
with `device_failed`. A CPU is not checked.
"""

import shutil
import time
from collections.abc import Callable, Mapping

import structlog

from contracts.attempt import WorkerInfo
from contracts.run_dir import RunDir
from worker.settings import Settings
from worker.supervisor.child.outcome import tail
from worker.supervisor.child.process import PROGRAM, start_child
from worker.supervisor.child.stopping import StopFlag, Stopped
from worker.supervisor.host.clock import boottime
from worker.supervisor.host.device_check import record_failed, record_passed
from worker.supervisor.host.identity import worker_home

log = structlog.get_logger(__name__)

CHECK_PROGRAM = (*PROGRAM, "--check-device")
CHECK_SECONDS = 180.0
"""Time limit of a check; importing torch alone takes several seconds."""


class DeviceGuard:
    """Knows whether this process's device works, and stores the answer for the main process and the health check."""

    def __init__(
        self,
        settings: Settings,
        worker: WorkerInfo,
        environ: Mapping[str, str],
        *,
        program: tuple[str, ...] = CHECK_PROGRAM,
        check_seconds: float = CHECK_SECONDS,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._settings = settings
        self._device = worker.device
        self._home = worker_home(settings.work_dir, worker.worker_id)
        self._environ = environ
        self._program = program
        self._check_seconds = check_seconds
        self._clock = clock
        self._is_usable = worker.device.kind == "cpu"
        self._failed_at: float | None = None
        """When the last check failed; None if a check is due immediately."""

    def wait_until_check_is_due(self, stop: StopFlag) -> None:
        """If the last check has failed recently, wait until the next one is due, or until this worker must stop.

        Meanwhile this process takes no further rings, so they wake workers whose devices work.
        """
        while self._failed_at is not None and not stop.is_set:
            seconds = self._clock() - self._failed_at
            if seconds >= self._settings.device_check_seconds:
                return
            time.sleep(self._settings.poll_seconds)

    def mark_failed(self, reason: str) -> None:
        """Store that the device failed during an attempt. It counts as failed until it has passed a check."""
        if self._device.kind == "cpu":
            return
        self._is_usable, self._failed_at = False, None
        try:
            record_failed(self._home, reason)
        except OSError as error:  # a full disk; the outcome must be delivered anyway
            log.warning("could not store that the device failed", reason=str(error))

    def is_device_usable(self, lock_fd: int, stop: StopFlag) -> bool:
        """Return whether the device works; check it unless it has passed. The caller holds the device's lock. Raises Stopped."""
        if self._is_usable:
            return True
        try:
            reason = self._check(lock_fd, stop)
            if reason is None:
                record_passed(self._home)
                self._is_usable, self._failed_at = True, None
                log.info("the device passed its check")
                return True
            record_failed(self._home, reason)
        except OSError as error:  # a full disk
            reason = f"the state of the device could not be stored: {error}"
        self._failed_at = self._clock()
        log.error("not claiming, because the device failed its check", reason=reason)
        return False

    def _check(self, lock_fd: int, stop: StopFlag) -> str | None:
        """Run the check in its own process; return why it failed, or None if the device passed."""
        run_dir = RunDir(self._home / "device_check")
        shutil.rmtree(run_dir.path, ignore_errors=True)
        run_dir.path.mkdir(parents=True)
        give_up_at = self._clock() + self._check_seconds
        child = start_child(run_dir, self._device, lock_fd, self._environ, self._program)
        try:
            while not child.wait(self._settings.poll_seconds):
                if stop.is_set:
                    raise Stopped("interrupted")
                if self._clock() >= give_up_at:
                    return f"the check of the device did not end within {self._check_seconds:.0f} s"
            if child.exit_code == 0:
                return None
            return tail(run_dir.output) or f"the check of the device ended with {child.exit_code}"
        finally:
            child.kill()
            if not child.wait(self._settings.term_seconds):
                log.error("could not kill the check; it still occupies its device", pid=child.pid)
            shutil.rmtree(run_dir.path, ignore_errors=True)
