"""Kills orphaned training processes of this worker. There should be none; this is a safeguard.

An orphan's command line names the supervisor that started it, but its current parent is another process.
"""

import contextlib
import os
import signal
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


def reap_strays(home: Path, proc: Path = Path("/proc")) -> list[int]:
    """Kill orphaned training processes whose run directories are under `home`; return their process ids."""
    strays = [int(entry.name) for entry in proc.iterdir() if _is_stray(entry, home)]
    for pid in strays:
        log.warning("killing an orphaned training process", pid=pid)
        with contextlib.suppress(ProcessLookupError):  # a rank above 0 leads no group
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return strays


def _is_stray(entry: Path, home: Path) -> bool:
    if not entry.name.isdigit():
        return False
    try:
        arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:  # it has ended, or belongs to another user
        return False
    if "--parent-pid" not in arguments[:-2]:
        return False
    index = arguments.index("--parent-pid")
    started_by, run_dir = arguments[index + 1], arguments[index + 2]
    return Path(run_dir).is_relative_to(home) and started_by != parent
