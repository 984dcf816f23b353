"""One training at a time on a device: a flock that the training process inherits.

The kernel frees it when the last holder is gone, so no second training starts on a GPU that an orphan still uses.
Whoever has just taken it therefore knows that whatever trained under it is over, and may tell the server so: the file
holds the lock's name and counts the turns in which that is said. A GPU's lock is the same for all services that this
user runs on this host.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import Device, Idle
from worker.settings import Settings


class DeviceBusy(Exception):
    """Another process trains on this device."""


class LockDirRefused(Exception):
    """The directory of the GPUs' locks is another user's, who could take them away from under us."""


def find_lock_dir(settings: Settings, device: Device) -> Path:
    """Return where a device's lock lies. The GPUs' directory is made, and refused unless it is ours.

    What is locked of a CPU is its worker alone, so that lies in the work directory.
    """
    if device.kind == "cpu":
        return settings.work_dir / "locks"
    path = settings.lock_dir
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for found in (path.lstat(), path.stat()):  # the name, which may be a link, and what it names
        if found.st_uid != os.geteuid():
            raise LockDirRefused(
                f"the directory of locks {path} belongs to user {found.st_uid}, not to us; "
                "choose another one with STEPLINE_LOCK_DIR"
            )
    path.chmod(0o700)
    return path


@contextmanager
def hold_device(lock_dir: Path, name: str, patience_seconds: float = 5.0) -> Iterator[int]:
    """Hold the lock of a device while the block runs, and give its file descriptor. Raises DeviceBusy."""
    lock_dir.mkdir(parents=True, exist_ok=True)
    path = lock_dir / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path, time.monotonic() + patience_seconds)
        yield descriptor
    finally:
        # Closed, not unlocked: unlocking would free it under a child that still holds it.
        os.close(descriptor)


def take_turn(descriptor: int) -> Idle:
    """Begin the next turn of a held lock under which nothing trains, and return what to say of it."""
    try:
        last = Idle.model_validate_json(os.pread(descriptor, 1000, 0))
    except ValidationError:  # a new file, or a damaged one: nothing can be said of what was before
        last = Idle(slot=secrets.token_hex(16), turn=1)
    turn = last.model_copy(update={"turn": last.turn + 1})
    content = turn.model_dump_json().encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)
    return turn


def _take(descriptor: int, path: Path, give_up_at: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise DeviceBusy(f"another process holds {path}") from None
            time.sleep(0.05)
        else:
            return
