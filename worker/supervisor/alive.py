"""Health check for the workers on this host: `python -m worker.supervisor.alive`.

A worker serves no HTTP. Its main process touches a file at each hello, and this module checks that file's age, and whether
the worker's GPU has failed. Hosts may share a work directory, so each host has its own files.
"""

import socket
import sys
import time
from pathlib import Path

from worker.settings import Settings
from worker.supervisor.host.device_check import read_check
from worker.supervisor.host.identity import slug, worker_home

OLDEST_SECONDS = 90.0


def touch(work_dir: Path, worker_id: str) -> None:
    """Record that the worker's main process is alive."""
    path = _directory(work_dir) / slug(worker_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def newest_age_seconds(work_dir: Path, now: float) -> float | None:
    """Return the age of the newest heartbeat file on this host; None if there is none."""
    times = [path.stat().st_mtime for path in _directory(work_dir).glob("*")]
    return now - max(times) if times else None


def find_failed_device(work_dir: Path, now: float) -> str | None:
    """Return which worker's GPU has failed and why; None if the GPUs of all live workers on this host work."""
    for path in sorted(_directory(work_dir).glob("*")):
        if now - path.stat().st_mtime > OLDEST_SECONDS:
            continue
        check = read_check(worker_home(work_dir, path.name))
        if check is not None and not check.passed:
            return f"the device of worker {path.name} has failed: {check.reason}"
    return None


def main() -> int:
    """Exit with 0 if a worker on this host that uses STEPLINE_WORK_DIR is alive, and no live worker's GPU has failed."""
    work_dir, now = Settings().work_dir, time.time()
    age = newest_age_seconds(work_dir, now)
    if age is None or age > OLDEST_SECONDS:
        sys.stderr.write(f"no heartbeat{'' if age is None else f' for {age:.0f} s'}\n")
        return 1
    failed = find_failed_device(work_dir, now)
    if failed is not None:
        sys.stderr.write(f"{failed}\n")
        return 1
    return 0


def _directory(work_dir: Path) -> Path:
    return work_dir / "alive" / slug(socket.gethostname())


if __name__ == "__main__":
    sys.exit(main())
