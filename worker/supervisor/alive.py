"""Health check for the workers on this host: `python -m worker.supervisor.alive`.

A worker serves no HTTP. Its main process touches a file at each hello, and this module checks that file's age. Hosts
may share a work directory, so each host has its own files.
"""

import socket
import sys
import time
from pathlib import Path

from worker.settings import Settings
from worker.supervisor.host.identity import slug

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


def main() -> int:
    """Exit with 0 if a worker on this host that uses STEPLINE_WORK_DIR is alive."""
    age = newest_age_seconds(Settings().work_dir, time.time())
    if age is None or age > OLDEST_SECONDS:
        sys.stderr.write(f"no heartbeat{'' if age is None else f' for {age:.0f} s'}\n")
        return 1
    return 0


def _directory(work_dir: Path) -> Path:
    return work_dir / "alive" / slug(socket.gethostname())


if __name__ == "__main__":
    sys.exit(main())
