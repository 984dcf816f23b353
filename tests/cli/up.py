"""Runs `stepline up` as a user at a terminal would. The tests of the command and of the whole service use it."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs.ports import find_free_port
from tests.programs.processes import marked, wait_until_gone
from tests.programs.waiting import wait_for

STOP_SECONDS = 15
"""Ctrl-C stops everything within seconds; this is the limit for a busy machine."""


@dataclass
class Up:
    """A running `stepline up` and its output."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    printed: Path

    @property
    def output(self) -> str:
        return self.printed.read_text()

    def wait_until_ready(self) -> None:
        self.wait_for_output("Stepline is ready")

    def wait_for_output(self, text: str) -> None:
        def is_printed() -> bool:
            is_running = self.process.poll() is None
            if text in self.output:
                return True
            assert is_running, self.output
            return False

        wait_for(is_printed, lambda: self.output)

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return int(answer.status)

    def wait_until_nothing_is_left(self) -> None:
        wait_until_gone(str(self.home), self.home, STOP_SECONDS)


@contextmanager
def running_up(
    tmp_path: Path,
    *options: str,
    port: int | None = None,
    home: Path | None = None,
    prefix: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Up]:
    """Run `stepline up` with these options and variables, optionally started by a prefix command."""
    home = home or tmp_path / "data"
    port = port or find_free_port()
    printed = tmp_path / f"printed-{time.monotonic_ns()}"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STEPLINE_")
    } | {**marked(str(home)), "STEPLINE_HUB": "false", **(variables or {})}
    command = [*prefix, sys.executable, "-m", "cli.main", "up"]
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--data-dir", str(home), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Up(process, port, home, printed)
    finally:
        process.kill()
        process.wait()
