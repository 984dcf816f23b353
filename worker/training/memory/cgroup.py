"""The memory limits of the cgroups that this process belongs to, versions 1 and 2."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_NO_LIMIT = 2**62
"""Version 1 writes the largest number of pages instead of "max"."""
_RECLAIMED = re.compile(
    r"^(?:total_inactive_file|total_active_file|inactive_file|active_file|slab_reclaimable) (\d+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Files:
    """The names of a cgroup's files."""

    limit: str
    used: str


_VERSION_1 = Files("memory.limit_in_bytes", "memory.usage_in_bytes")
_VERSION_2 = Files("memory.max", "memory.current")


@dataclass(frozen=True)
class MemoryGroup:
    """A cgroup with a limit. All values are in bytes and include its descendants."""

    limit: int
    used: int
    reclaimable: int
    """The part of `used` that the kernel frees when memory is needed: cached files."""

    @property
    def free(self) -> int:
        """The bytes that its processes can still allocate."""
        return max(0, self.limit - self.used + self.reclaimable)


def memory_groups(root: Path = ROOT, proc: Path = Path("/proc")) -> list[MemoryGroup]:
    """Return the cgroups with a memory limit among this process's cgroups and their ancestors; any of them may have the smallest."""
    directories = dict.fromkeys(_directories(root, proc))  # in order, without duplicates
    found = (_read(directory, files) for directory, files in directories)
    return [group for group in found if group is not None]


def _directories(root: Path, proc: Path) -> Iterator[tuple[Path, Files]]:
    """Yield each directory that may describe one of the cgroups.

    In a container, the group's path may be the one on the host, while the mount begins at the container's group.
    """
    mounts = {"": (root, _VERSION_2), "memory": (root / "memory", _VERSION_1)}
    yield from mounts.values()
    try:
        entries = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for entry in entries:
        _, controllers, path = entry.split(":", 2)
        name = "memory" if "memory" in controllers.split(",") else controllers
        parts = [part for part in path.split("/") if part]
        if name not in mounts or ".." in parts:  # another controller, or outside the mount
            continue
        directory, files = mounts[name]
        for part in parts:
            directory /= part
            yield directory, files


def _read(directory: Path, files: Files) -> MemoryGroup | None:
    """Return a cgroup, or None if it has no limit or does not exist."""
    try:
        text = (directory / files.limit).read_text().strip()
        if text == "max" or int(text) >= _NO_LIMIT:
            return None
        used = int((directory / files.used).read_text())
        statistics = (directory / "memory.stat").read_text()
    except OSError:
        return None
    return MemoryGroup(int(text), used, _reclaimable(statistics))


def _reclaimable(statistics: str) -> int:
    """Return the bytes of cached files.

    Version 1 reports each value twice; the one with the prefix `total_` includes the descendants.
    """
    lines = list(_RECLAIMED.finditer(statistics))
    whole = [match for match in lines if match[0].startswith("total_")]
    return sum(int(match[1]) for match in whole or lines)
