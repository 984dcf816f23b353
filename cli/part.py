"""Part: one process that `stepline up` starts, watches and stops. It leads a session and dies with its parent."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from contracts.text import escape_lines

LOG_BYTES = 16 * 1024 * 1024
"""When a part starts and its log is larger than this, the log is rotated; one old file is kept."""

StopStep = tuple[signal.Signals, float]
"""A signal, and the seconds to wait for the process to end after it."""


class Part:
    """A process with a name and a log."""

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
        """Start it. Call this from the main thread only: the parent-death signal fires when the starting thread ends."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli.parent", str(os.getpid()), *self._program],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C in a terminal reaches only the parent
            )

    @property
    def exit_code(self) -> int | None:
        """Its exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it has started and not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Send its signals in turn and wait after each, unless in a hurry; then kill its whole session."""
        if self._process is None:
            return
        for number, seconds in self._stop_steps:
            if self._process.poll() is not None or hurry():
                break
            self._process.send_signal(number)
            self._wait(seconds, hurry)
        with contextlib.suppress(ProcessLookupError):  # no process of the session is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_lines(self, lines: int = 12) -> str:
        """Return the end of its log."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
            return "\n".join(map(escape_lines, text.splitlines()[-lines:]))
        return ""

    def _wait(self, seconds: float, hurry: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while self.is_running and time.monotonic() < end and not hurry():
            time.sleep(0.02)
