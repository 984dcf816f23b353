"""A process that `stepline up` starts, monitors and stops. It leads a session and is killed when its parent exits."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from contracts.values.text import escape_lines

LOG_BYTES = 16 * 1024 * 1024
"""If a part's log is larger than this when the part starts, it is rotated. One old file is kept."""

StopStep = tuple[signal.Signals, float]
"""A signal, and how many seconds to wait for the process to exit."""


class Part:
    """A named process with a log file."""

    def __init__(
        self,
        name: str,
        program: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        stop_steps: Sequence[StopStep],
    ) -> None:
        self.name = name
        self.log = log
        self._program = program
        self._environment = environment
        self._stop_steps = stop_steps
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. Call only from the main thread: the parent-death signal is sent when that thread ends."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "processes.parent", str(os.getpid()), *self._program],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # keeps Ctrl-C in the terminal from reaching the child
            )

    @property
    def exit_code(self) -> int | None:
        """The exit status; None if the process has not been started or is still running."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process.pid

    def stop(self, is_forced: Callable[[], bool]) -> None:
        """Send the stop signals in turn, waiting after each unless `is_forced()`, then kill the process group."""
        if self._process is None:
            return
        for number, seconds in self._stop_steps:
            if self._process.poll() is not None or is_forced():
                break
            self._process.send_signal(number)
            self._wait(seconds, is_forced)
        with contextlib.suppress(ProcessLookupError):  # the whole group has exited
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_lines(self, lines: int = 12) -> str:
        """Return the last lines of the log."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
            return "\n".join(map(escape_lines, text.splitlines()[-lines:]))
        return ""

    def _wait(self, seconds: float, is_forced: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while self.is_running and time.monotonic() < end and not is_forced():
            time.sleep(0.02)
