"""Flushes files and directories to the disk, so that they survive a power loss."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
