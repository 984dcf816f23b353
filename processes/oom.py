"""Counts how often the kernel's OOM killer has killed a process in our cgroup."""

from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def count_oom_kills(root: Path = CGROUP_ROOT, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return the cgroup's oom_kill count so far (version 2, else version 1); 0 if the kernel does not report it."""
    for file in _counters(root, membership):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def _counters(root: Path, membership: Path) -> list[Path]:
    try:
        entries = membership.read_text().splitlines()
    except OSError:
        return []
    files = []
    for entry in entries:
        number, controllers, path = entry.split(":", 2)
        inside = path.lstrip("/")
        if number == "0":
            files += [root / inside / "memory.events", root / "memory.events"]
        elif "memory" in controllers.split(","):
            files += [
                root / "memory" / inside / "memory.oom_control",
                root / "memory" / "memory.oom_control",
            ]
    return files
