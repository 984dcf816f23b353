"""Health check for the workers on this host: `python -m worker.supervisor.alive`.

A worker does not serve HTTP. Its main process touches a file each time it sends a hello. This module checks the age of
that file and whether the worker's GPU has failed. The parent process of this host's workers (worker/fleet.py) has its
own file, which lists its workers. Hosts may share a work directory, so each host has its own files.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from contracts.run.run_dir import write_atomically
from processes.arguments import take_no_arguments
from worker.settings import Settings
from worker.supervisor.host.device_check import read_check
from worker.supervisor.host.identity import slug, worker_home

OLDEST_SECONDS = 90.0


def touch(work_dir: Path, worker_id: str) -> None:
    """Record that the worker's main process is alive."""
    path = _workers(work_dir) / slug(worker_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def touch_parent(work_dir: Path, workers: Sequence[str]) -> None:
    """Record that this process is alive and is the parent of these workers; the list may be empty. Raises OSError."""
    path = _parents(work_dir) / f"{_process_id(os.getpid())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps([slug(worker) for worker in workers]), sync=False)


def forget_parents(work_dir: Path) -> None:
    """Remove the files of this process and of processes that no longer exist."""
    own = _process_id(os.getpid())
    for path in _parents(work_dir).glob("*.json"):
        if path.stem == own or not _is_running(path):
            path.unlink(missing_ok=True)


def find_problem(work_dir: Path, now: float) -> str | None:
    """Return why this host is unhealthy; None if it is healthy."""
    parents = [path for path in sorted(_parents(work_dir).glob("*.json")) if _is_running(path)]
    live = [path.name for path in sorted(_workers(work_dir).glob("*")) if _is_fresh(path, now)]
    if not parents and not live:
        return "no heartbeat"
    for parent in parents:
        if not _is_fresh(parent, now):
            pid = parent.stem.partition("-")[0]
            return f"no heartbeat from process {pid}, the parent of the workers"
        for worker in json.loads(parent.read_text()):
            if worker not in live:
                return f"no heartbeat from worker {worker}"
    for worker in live:
        check = read_check(worker_home(work_dir, worker))
        if check is not None and not check.passed:
            return f"the device of worker {worker} has failed: {check.reason}"
    return None


def main() -> int:
    """Exit with 0 if the workers on this host that use STEPLINE_WORK_DIR are alive, and none of their GPUs has failed."""
    problem = find_problem(Settings().work_dir, time.time())
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def _is_fresh(path: Path, now: float) -> bool:
    return now - path.stat().st_mtime <= OLDEST_SECONDS


def _is_running(parent: Path) -> bool:
    """Return whether the process that this file belongs to exists."""
    try:
        return _process_id(int(parent.stem.partition("-")[0])) == parent.stem
    except OSError:
        return False


def _process_id(pid: int) -> str:
    """Return a process id and its start time in ticks since boot, because the kernel reuses process ids."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{pid}-{fields[19]}"


def _workers(work_dir: Path) -> Path:
    return work_dir / "alive" / slug(socket.gethostname())


def _parents(work_dir: Path) -> Path:
    return work_dir / "alive_parents" / slug(socket.gethostname())


if __name__ == "__main__":
    take_no_arguments("worker.supervisor.alive", __doc__)
    sys.exit(main())
