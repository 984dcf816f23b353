"""Finds the processes that a test has started, by a mark in their environment or a directory on their command line."""

import time
from dataclasses import dataclass
from pathlib import Path

from processes.privacy import ALLOW_TRACING

MARK = "LC_STEPLINE_TEST_MARK"
"""Variable that a test sets for the processes that it starts. Every part of `stepline up` inherits locale variables."""


def marked(mark: str) -> dict[str, str]:
    """Return the variables that make a process findable: its mark, and permission to inspect it."""
    return {MARK: mark, ALLOW_TRACING: "true"}


@dataclass(frozen=True)
class Training:
    """A live training process."""

    worker: str
    """Name of the worker's folder, which contains the run directory."""
    attempt_id: str
    is_stopped: bool
    """Suspended by SIGSTOP."""


def find_processes(mark: str, directory: Path) -> dict[int, str]:
    """Return the live processes that have the mark or whose command line contains the directory, with their command lines."""
    found = {}
    for entry in _all():
        try:
            environment = environment_of(int(entry.name))
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = _state(entry)
        except OSError:  # it has ended in the meantime
            continue
        if state == "Z":
            continue
        if environment.get(MARK) == mark or str(directory) in command:
            found[int(entry.name)] = command.strip()
    return found


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with. Raise OSError if inspecting it is not permitted."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def find_trainings(runs: Path) -> dict[int, Training]:
    """Return the live training processes whose run directory is `runs/<worker>/<attempt>`."""
    found = {}
    for entry in _all():
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            state = _state(entry)
        except OSError:  # it has ended in the meantime
            continue
        if state == "Z" or "worker.training" not in arguments:
            continue
        place = Path(arguments[-2])  # the last one is empty
        if place.is_relative_to(runs):
            found[int(entry.name)] = Training(place.parent.name, place.name, state in "Tt")
    return found


def children_of(parent: int) -> list[int]:
    """Return the live children of a process."""
    found = []
    for entry in _all():
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[0] != "Z" and int(stat[1]) == parent:
            found.append(int(entry.name))
    return found


def wait_until_gone(mark: str, directory: Path, seconds: float) -> None:
    """Wait until no such process is left. After `seconds`, raise AssertionError with a list of those that remain."""
    deadline = time.monotonic() + seconds
    while left := find_processes(mark, directory):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)


def _all() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _state(entry: Path) -> str:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0]
