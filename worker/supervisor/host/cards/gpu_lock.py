"""Allows one training process at a time per device, through a flock that the training process inherits.

The kernel releases the lock when the last holder exits, so no other training starts on a GPU that an orphan still uses.
When a worker acquires the lock, all earlier training under it has ended, and the worker may report that to the server.
The file contains the lock's name and a counter of these reports. All services of this user on this host
share a GPU's lock.

A worker needs this lock for each attempt. Another lock, the card lock (worker/fleet.py), decides which `stepline
worker` may start a worker for a card.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import Device, Idle
from worker.settings import Settings

SHORTEST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.5
"""Pauses between tries grow, because a sibling's claim takes milliseconds, but its attempt may take days."""


class DeviceBusy(Exception):
    """Another process is using this device."""


class LockDirRefused(Exception):
    """The directory of the GPU locks belongs to another user, who could remove the locks while we hold them."""


def find_lock_dir(settings: Settings, device: Device) -> Path:
    """Return the directory of a device's lock. For a GPU, create it; raises LockDirRefused if another user owns it.

    A CPU lock covers only one worker, so it is in the work directory.
    """
    if device.kind == "cpu":
        return settings.work_dir / "locks"
    path = settings.lock_dir
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for found in (path.lstat(), path.stat()):  # the path, and its target if it is a link
        if found.st_uid != os.geteuid():
            raise LockDirRefused(
                f"the lock directory {path} belongs to another user ({found.st_uid}). "
                "Choose another directory with STEPLINE_LOCK_DIR"
            )
    path.chmod(0o700)
    return path


def try_lock(path: Path) -> int | None:
    """Lock a file until the returned descriptor is closed; return None if another process holds the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def hold_device(
    lock_dir: Path,
    name: str,
    patience_seconds: float = 5.0,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Hold the lock of a device while the block runs, and yield its file descriptor.

    Calls `wait` with the time until the next try. Raises DeviceBusy and whatever `wait` raises.
    """
    lock_dir.mkdir(parents=True, exist_ok=True)
    path = lock_dir / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path, time.monotonic() + patience_seconds, wait)
        yield descriptor
    finally:
        # Close the file without unlocking it: unlocking would release the lock while a child still holds it.
        os.close(descriptor)


def take_turn(descriptor: int) -> Idle:
    """Increment the turn of a held lock and return it as a report for the server. No training may be running under the lock."""
    try:
        last = Idle.model_validate_json(os.pread(descriptor, 1000, 0))
    except ValidationError:  # a new or damaged file proves nothing about earlier attempts
        last = Idle(slot=secrets.token_hex(16), turn=1)
    turn = last.model_copy(update={"turn": last.turn + 1})
    content = turn.model_dump_json().encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)
    return turn


def find_turn(path: Path) -> Idle | None:
    """Return the last turn of a lock, which another process may hold; None if there has been none."""
    try:
        return Idle.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _take(descriptor: int, path: Path, give_up_at: float, wait: Callable[[float], None]) -> None:
    pause = SHORTEST_PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise DeviceBusy(f"another process holds {path}") from None
            wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            return
