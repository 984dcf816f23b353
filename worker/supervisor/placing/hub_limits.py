"""Limits of a download from the hub: disk space, and the memory of the process that unpacks a dataset."""

import contextlib
import errno
import os
import resource
import shutil
from pathlib import Path
from typing import NamedTuple, Self

RESERVED_BYTES = 1024**3
"""Free disk space that a download leaves for other programs on the host, such as a training process that writes checkpoints."""


class Disk(NamedTuple):
    """The disk of a directory, and how much of it must stay free."""

    directory: Path
    least_bytes: int

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Return the disk of an existing directory. On an almost full disk, half of the free space must stay free."""
        return cls(directory, min(RESERVED_BYTES, shutil.disk_usage(directory).free // 2))

    def is_low(self) -> bool:
        """Return whether the free space is below the required minimum."""
        return shutil.disk_usage(self.directory).free < self.least_bytes


def require_space(directory: Path, needed_bytes: int) -> None:
    """Raise OSError with ENOSPC if the disk of this directory has less free space than a download needs."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        what = (
            f"the download needs {needed_bytes} bytes, but only {free} are free in {existing}. "
            f"Free at least {needed_bytes - free} more bytes"
        )
        raise OSError(errno.ENOSPC, what)


def confine(memory_bytes: int) -> None:
    """Limit the memory of this process, and give training priority. Linux only."""
    # Unlike RLIMIT_AS, this does not count the tables of a large dataset, which `datasets` maps from their files.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    with contextlib.suppress(OSError):
        # If the host runs out of memory, the kernel ends this process, not the training.
        Path("/proc/self/oom_score_adj").write_text("1000")
