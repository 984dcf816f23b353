"""Finds the processes that a test has started, by a mark in their environment or a directory on their command line."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from processes.privacy import ALLOW_TRACING

MARK = "LC_STEPLINE_TEST_MARK"
"""Variable that marks the processes that a test starts. It is named like a locale variable, because every part of `stepline up`
inherits those."""

BACKGROUND = 7
"""The nice value of a background process, which then gets a fifth of a foreground process's share of the processor."""


def marked(mark: str) -> dict[str, str]:
    """Return the variables that make a process findable: its mark, and one that allows other processes to inspect it."""
    return {MARK: mark, ALLOW_TRACING: "true"}


@dataclass(frozen=True)
class Training:
    """A live training process."""

    worker: str
    """Name of the worker's folder, which contains the run directory."""
    attempt_id: str
    is_stopped: bool
    """Whether the process is suspended by SIGSTOP."""


def find_processes(mark: str, directory: Path) -> dict[int, str]:
    """Return the live processes that have the mark or whose command line contains the directory, with their command lines."""
    found = {}
    variable = f"{MARK}={mark}".encode()
    for pid in _all():
        try:
            command = _read(pid, "cmdline")
            if not command:  # a kernel thread or a zombie
                continue
            is_marked = variable in _read(pid, "environ").split(b"\0")
            if (is_marked or bytes(directory) in command) and _stat(pid)[0] != "Z":
                found[pid] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # it has ended in the meantime
            continue
    return found


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with. Raise OSError if inspecting it is not permitted."""
    entries = _read(pid, "environ").decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def find_trainings(runs: Path) -> dict[int, Training]:
    """Return the live training processes whose run directory is `runs/<worker>/<attempt>`, without the ranks that they start."""
    found, parents = {}, {}
    for pid in _all():
        try:
            arguments = _read(pid, "cmdline").split(b"\0")
            if b"worker.training" not in arguments or b"--rank" in arguments:
                continue
            state, parents[pid] = _stat(pid)[:2]
        except OSError:  # it has ended in the meantime
            continue
        place = Path(os.fsdecode(arguments[-2]))  # the last argument is empty
        if state != "Z" and place.is_relative_to(runs):
            found[pid] = Training(place.parent.name, place.name, state in "Tt")
    # A process that a training has just forked has its command line until it executes another program.
    return {pid: each for pid, each in found.items() if int(parents[pid]) not in found}


def children_of(parent: int) -> list[int]:
    """Return the live children of a process."""
    found = []
    for pid in _all():
        try:
            state, its_parent = _stat(pid)[:2]
        except OSError:
            continue
        if state != "Z" and int(its_parent) == parent:
            found.append(pid)
    return found


def lower_priority(pid: int) -> None:
    """Lower the priority of the process group that `pid` leads, for a training process that runs until its test ends it."""
    os.setpriority(os.PRIO_PGRP, pid, BACKGROUND)
    with contextlib.suppress(
        OSError
    ):  # the kernel has no autogroups, which divide the processor among sessions
        Path(f"/proc/{pid}/autogroup").write_text(str(BACKGROUND))


def wait_until_gone(mark: str, directory: Path, seconds: float) -> None:
    """Wait until `find_processes` does not find any process. After `seconds`, raise AssertionError with a list of those that remain."""
    deadline = time.monotonic() + seconds
    while left := find_processes(mark, directory):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - polled often, and faster


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - polled often, and faster
        return file.read()


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's status that follow its name; the first is its state, the second its parent."""
    return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
