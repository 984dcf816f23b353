"""DeviceGuard: a worker claims jobs only while its GPU works.

The check computes a small 4-bit matrix product in a separate process (`python -m worker.training --check-device`), because a
process that has lost its GPU cannot regain access to it. The check runs before the first claim of each worker process and
after each attempt that ended with `device_failed` or with an error that a failed device may have caused. A CPU is not checked.
"""

import shutil
from collections.abc import Callable, Mapping

import structlog

from contracts.attempt import DeviceCheck, Outcome, WorkerInfo
from contracts.failure import FailureReason
from contracts.run_dir import RunDir
from worker.settings import Settings
from worker.supervisor.child.outcome import tail
from worker.supervisor.child.process import PROGRAM, Child, start_child
from worker.supervisor.child.stopping import StopFlag, Stopped
from worker.supervisor.host.clock import boottime
from worker.supervisor.host.device_check import (
    forget_check,
    next_failed,
    next_passed,
    read_check,
    write_check,
)
from worker.supervisor.host.identity import worker_home

log = structlog.get_logger(__name__)

CHECK_PROGRAM = (*PROGRAM, "--check-device")
AMBIGUOUS = (FailureReason.CRASHED, FailureReason.NO_PROGRESS, FailureReason.CHILD_KILLED)
"""Reasons for failures that a failed device may have caused even if no error says so."""
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
        self._state: DeviceCheck | None = None
        """The state that this process stored last. None in a new pool process: its parent, the main process, stores none."""
        self._failed_at: float | None = None
        """When the last check failed; None if a check is due immediately."""
        self._running: Child | None = None
        """A check that could not be killed."""
        if self._is_usable:
            forget_check(self._home)  # from a time when this worker used a GPU

    @property
    def state(self) -> DeviceCheck | None:
        """The state of the GPU. It is newer than the stored state if the disk is full."""
        if self._device.kind == "cpu":
            return None
        return self._state or read_check(self._home)

    @property
    def is_idle(self) -> bool:
        """Whether no check is running."""
        return self._running is None or self._running.wait(0)

    def mark_failed(self, reason: str) -> None:
        """Store that the device failed during an attempt. It counts as failed until it has passed a check."""
        if self._device.kind == "cpu" or not self._is_usable:  # explain() has already stored why
            return
        self._is_usable, self._failed_at = False, None
        self._store(next_failed(self.state, reason, pending=True))

    def is_device_usable(self, lock_fd: int, stop: StopFlag) -> bool:
        """Return whether the device works; check it if a check is due. The caller holds the device's lock. Raises Stopped."""
        if self._is_usable:
            return True
        if self._failed_at is not None:
            seconds = self._clock() - self._failed_at
            if seconds < self._settings.device_check_seconds:
                log.info("not claiming, because the device failed its last check")
                return False
        try:
            reason = self._check_and_store(lock_fd, stop, lambda: None)
        except OSError as error:  # a full disk
            reason = f"the device check could not be started: {error}"
            self._failed_at = self._clock()
        if reason is not None:
            log.error("not claiming, because the device failed its check", reason=reason)
        return reason is None

    def explain(
        self, outcome: Outcome, lock_fd: int, stop: StopFlag, pulse: Callable[[], object]
    ) -> Outcome:
        """Return the outcome, changed to `device_failed` if the device may have caused the failure and now fails its check.

        Calls `pulse` regularly during the check. The caller holds the device's lock.
        """
        failure = outcome.failure
        if self._device.kind == "cpu" or failure is None or failure.reason not in AMBIGUOUS:
            return outcome
        try:
            reason = self._check_and_store(lock_fd, stop, pulse)
        except (OSError, Stopped):  # a full disk, or a worker that must stop
            return outcome
        if reason is None:
            return outcome
        detail = f"After the training process had ended, the device failed its check:\n{reason}\n\n{failure.detail}"
        failed = failure.model_copy(
            update={"reason": FailureReason.DEVICE_FAILED, "detail": detail[:20_000]}
        )
        return outcome.model_copy(update={"failure": failed})

    def _check_and_store(
        self, lock_fd: int, stop: StopFlag, pulse: Callable[[], object]
    ) -> str | None:
        """Check the device and store the result; return why it failed, or None. Raises OSError and Stopped."""
        reason = self._check(lock_fd, stop, pulse)
        self._is_usable = reason is None
        if reason is None:
            self._store(next_passed(self.state))
            log.info("the device passed its check")
        else:
            self._store(next_failed(self.state, reason))
            self._failed_at = self._clock()
        return reason

    def _store(self, check: DeviceCheck) -> None:
        self._state = check
        try:
            write_check(self._home, check)
        except OSError as error:  # a full disk; claims contain the state anyway
            log.warning("could not store the state of the device", reason=str(error))

    def _check(self, lock_fd: int, stop: StopFlag, pulse: Callable[[], object]) -> str | None:
        """Run the check in its own process; return why it failed, or None if the device passed."""
        run_dir = RunDir(self._home / "device_check")
        shutil.rmtree(run_dir.path, ignore_errors=True)
        run_dir.path.mkdir(parents=True)
        give_up_at = self._clock() + self._check_seconds
        child = start_child(run_dir, self._device, lock_fd, self._environ, self._program)
        try:
            while not child.wait(self._settings.poll_seconds):
                pulse()
                if stop.is_set:
                    raise Stopped("interrupted")
                if self._clock() >= give_up_at:
                    return f"the device check did not finish within {self._check_seconds:.0f} s"
            if child.exit_code == 0:
                return None
            return tail(run_dir.output) or f"the device check exited with {child.exit_code}"
        finally:
            child.kill()
            if not child.wait(self._settings.term_seconds):
                self._running = child
                log.error(
                    "could not kill the device check; it still occupies the device", pid=child.pid
                )
            shutil.rmtree(run_dir.path, ignore_errors=True)
