"""Kills orphaned training processes of this worker. There should be none; this is a safeguard.

An orphan's command line names the process that started it: its supervisor or, for a rank of a job on several GPUs, the
first rank. That process has died, so the orphan's current parent is a different process. A process that a live training
process forks looks the same until it executes its own program, so a process counts only if it leads its group or if the
group's leader has ended.
"""

import contextlib
import os
import signal
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


def reap_strays(home: Path, proc: Path = Path("/proc")) -> list[int]:
    """Kill orphaned training processes whose run directories are under `home`; return their process ids."""
    strays = []
    for entry in proc.iterdir():
        group = _find_orphaned_group(entry, home)
        if group is None:
            continue
        pid = int(entry.name)
        strays.append(pid)
        log.warning("killing an orphaned training process", pid=pid)
        with contextlib.suppress(ProcessLookupError):  # killed with another rank of its group
            os.killpg(group, signal.SIGKILL)
    return strays


def _find_orphaned_group(entry: Path, home: Path) -> int | None:
    """Return the process group of an orphan; None if the process is not an orphan whose run directory is under `home`."""
    if not entry.name.isdigit():
        return None
    try:
        arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        _, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:  # it has ended, or belongs to another user
        return None
    if "--parent-pid" not in arguments[:-2]:
        return None
    index = arguments.index("--parent-pid")
    started_by, run_dir = arguments[index + 1], arguments[index + 2]
    if started_by == parent or not Path(run_dir).is_relative_to(home):
        return None
    has_live_leader = group != entry.name and (entry.parent / group).exists()
    return None if has_live_leader else int(group)
