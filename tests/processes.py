"""Which processes a test has started, found by a mark in their environment or a directory on their command line."""

import time
from pathlib import Path

MARK = "STEPLINE_TEST_MARK"
"""Variable that a test sets for what it starts. A training process does not inherit it: its directory tells."""


def find_processes(mark: str, directory: Path) -> dict[int, str]:
    """Return the living processes that carry the mark or name the directory, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended meanwhile
            continue
        if state == "Z":
            continue
        if f"{MARK}={mark}".encode() in environment or str(directory) in command:
            found[int(entry.name)] = command.strip()
    return found


def wait_until_gone(mark: str, directory: Path, seconds: float) -> None:
    """Wait until no such process is left. Raises AssertionError with what is left."""
    deadline = time.monotonic() + seconds
    while left := find_processes(mark, directory):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)
