"""Stop: checks between micro-batches whether control.json or SIGTERM has requested a stop."""

import signal
from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import Wanted
from contracts.run.run_dir import Control
from worker.training.errors import StopRequested


class Stop:
    """Raises StopRequested from `check` once a stop is requested. SIGTERM only sets a flag, so no step is interrupted."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._terminated = False

    def listen(self) -> None:
        """Treat SIGTERM as a request to hand the job back. Main thread only."""
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def check(self) -> None:
        """Raise StopRequested if a stop is requested. A cancel takes precedence over a pause, and a pause over a SIGTERM."""
        wanted = self._read_wanted()
        if wanted is Wanted.CANCEL:
            raise StopRequested("cancelled")
        if wanted is Wanted.PAUSE:
            raise StopRequested("paused")
        if self._terminated:
            raise StopRequested("interrupted")

    def _read_wanted(self) -> Wanted:
        try:
            return Control.model_validate_json(self._control.read_bytes()).wanted
        except FileNotFoundError:
            return Wanted.CONTINUE
        except ValidationError:
            # The file is only partially written, because its writer does not rename atomically; the next check reads it again.
            return Wanted.CONTINUE

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        self._terminated = True
