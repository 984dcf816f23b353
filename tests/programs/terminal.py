"""Runs a program in a pseudo-terminal of a given size, and reads what it shows."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tests.programs.screen import replay
from tests.programs.waiting import PATIENCE_SECONDS

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FRAME = re.compile(r"(?:\x1b\[1A\x1b\[2K|\x1b\[2K\x1b\[1A)+")


@contextmanager
def heeded_interruptions() -> Iterator[None]:
    """Let the programs that are started in this block end at SIGINT.

    A shell that starts the tests in the background lets them ignore SIGINT, and programs would inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Terminal:
    """A program in a terminal. It ends with the `with` block."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        columns: int,
        lines: int = 40,
        term: str = "xterm-256color",
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        with heeded_interruptions():
            self._process = subprocess.Popen(
                command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**environment, "TERM": term, "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,
            )
        os.close(slave)
        self._bytes = b""
        self._columns = columns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def raw(self) -> str:
        """Everything that the program has written, with escape sequences."""
        return self._bytes.decode(errors="replace").replace("\r\n", "\n")

    @property
    def output(self) -> str:
        """Everything that the program has written, without escape sequences."""
        return ESCAPE.sub("", self.raw).replace("\r", "")

    @property
    def lines(self) -> list[str]:
        """The lines that the terminal shows now, with the escape sequences for colors."""
        return replay(self._bytes.decode(errors="replace"), self._columns)

    @property
    def last_frame(self) -> str:
        """The text written since the program last moved the cursor back to redraw the screen."""
        return ESCAPE.sub("", FRAME.split(self.raw)[-1]).replace("\r", "")

    def wait_for(self, text: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Read until the program has written `text`."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            assert self._read(), f"the program ended: {self.output}"

    def wait_for_again(self, text: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Read until the program has written `text` once more than so far."""
        deadline = time.monotonic() + seconds
        before = self.output.count(text)
        while self.output.count(text) == before:
            assert time.monotonic() < deadline, self.output
            assert self._read(), f"the program ended: {self.output}"

    def type(self, text: str) -> None:
        """Type text, as a user does."""
        os.write(self._master, text.encode())

    def press_ctrl_c(self) -> None:
        """Interrupt the program, as a terminal does."""
        os.killpg(self._process.pid, signal.SIGINT)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Read until the program ends; return its exit status."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, self.output
        return self._process.wait(max(1.0, deadline - time.monotonic()))

    def _read(self) -> bool:
        """Read the available output, waiting at most 0.2 s for it; return False at the end of the output."""
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            self._bytes += os.read(self._master, 65536)
        except OSError:  # the program has closed the terminal
            return False
        return True
