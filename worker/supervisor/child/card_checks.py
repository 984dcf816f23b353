"""Checks each card with a small 4-bit matrix product in a separate process (`python -m worker.training --check-device`).

A process that loses access to a GPU cannot regain it, so the supervisor itself never uses one.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence

import structlog

from contracts.run.exits import tail
from contracts.run.run_dir import RunDir
from worker.settings import Settings
from worker.supervisor.child.process import PROGRAM, Child, start_child
from worker.supervisor.child.stopping import StopFlag, Stopped
from worker.supervisor.host.cards.held_cards import HeldCard
from worker.supervisor.host.clock import boottime

log = structlog.get_logger(__name__)

CHECK_PROGRAM = (*PROGRAM, "--check-device")
CHECK_SECONDS = 180.0
"""Time limit of a check; importing torch alone takes several seconds."""


class CardChecks:
    """Runs checks and keeps track of those that could not be killed."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        program: tuple[str, ...] = CHECK_PROGRAM,
        check_seconds: float = CHECK_SECONDS,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._program = program
        self._check_seconds = check_seconds
        self._clock = clock
        self._unkilled: list[Child] = []

    @property
    def is_idle(self) -> bool:
        """Whether every check has ended."""
        return all(child.wait(0) for child in self._unkilled)

    def run(
        self, cards: Sequence[HeldCard], stop: StopFlag, pulse: Callable[[], object]
    ) -> list[str | None]:
        """Check cards concurrently; for each, return why it failed, or None if it passed.

        Calls `pulse` regularly. The caller must hold the cards' locks. Raises OSError and Stopped.
        """
        running: list[tuple[RunDir, Child]] = []
        give_up_at = self._clock() + self._check_seconds
        try:
            for card in cards:
                run_dir = RunDir(card.home / "device_check")
                shutil.rmtree(run_dir.path, ignore_errors=True)
                run_dir.path.mkdir(parents=True)
                child = start_child(run_dir, [card], self._environ, self._program)
                running.append((run_dir, child))
            pulse()  # even if the checks end before the first poll
            while unfinished := [child for _, child in running if not child.wait(0)]:
                if unfinished[0].wait(self._settings.poll_seconds):
                    continue
                pulse()
                if stop.is_set:
                    raise Stopped("interrupted")
                if self._clock() >= give_up_at:
                    break
            return [self._read(run_dir, child) for run_dir, child in running]
        finally:
            for run_dir, child in running:
                self._end(child)
                shutil.rmtree(run_dir.path, ignore_errors=True)

    def _read(self, run_dir: RunDir, child: Child) -> str | None:
        if child.exit_code is None:
            return f"the device check did not finish within {self._check_seconds:.0f} s"
        if child.exit_code == 0:
            return None
        return tail(run_dir.output) or f"the device check exited with {child.exit_code}"

    def _end(self, child: Child) -> None:
        child.kill()
        if not child.wait(self._settings.term_seconds):
            self._unkilled.append(child)
            log.error(
                "could not kill the device check; it still occupies the device", pid=child.pid
            )
