"""One training at a time on a device: a flock that the training process inherits.

The kernel frees it when the last holder is gone, so no second training starts on a GPU that an orphan still uses.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DeviceBusy(Exception):
    """Another process trains on this device."""


@contextmanager
def hold_device(lock_dir: Path, name: str, patience_seconds: float = 5.0) -> Iterator[int]:
    """Hold the lock of a device while the block runs, and give its file descriptor. Raises DeviceBusy."""
    lock_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_dir / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, name, time.monotonic() + patience_seconds)
        yield descriptor
    finally:
        # Closed, not unlocked: unlocking would free it under a child that still holds it.
        os.close(descriptor)


def _take(descriptor: int, name: str, give_up_at: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise DeviceBusy(f"{name} is in use by another process") from None
            time.sleep(0.05)
        else:
            return
