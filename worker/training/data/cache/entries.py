"""The entries of the cache: one directory per key. An entry is always complete, because it is renamed to its key last."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from worker.training.data.bounds import Bounds
from worker.training.rundir.disk import sync

WAIT_SECONDS = 600.0
"""How long to wait for another process that is creating the same entry; that process may be suspended."""
STALE_SECONDS = 86_400.0
"""Age of an unfinished entry after which no process can still be working on it."""
_POLL_SECONDS = 0.1
_UNFINISHED = ".unfinished"
_LOCK = ".lock"


class Entries:
    """A directory of cache entries that several processes use at the same time."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        """`limit_bytes`: the size at which the entries that were used least recently are deleted."""
        self._directory = directory
        self._limit_bytes = limit_bytes
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Return the directory of an entry, which may not exist."""
        return self._directory / key

    @contextlib.contextmanager
    def locked(self, key: str, bounds: Bounds) -> Iterator[bool]:
        """Hold the lock of a key; yield whether this process has it. Waits up to WAIT_SECONDS for another process.

        The file is never deleted: another process may hold a lock on the deleted one.
        """
        descriptor = os.open(self._directory / f"{key}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield self._lock(descriptor, bounds)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int, bounds: Bounds) -> bool:
        give_up_at = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                bounds.poll()
                if time.monotonic() > give_up_at:
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                return True

    def start(self, key: str) -> Path:
        """Create an empty directory for a new entry. Only the holder of the lock may call this."""
        unfinished = self._directory / f"{key}{_UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        return unfinished

    def keep(self, key: str) -> None:
        """Publish the entry that `start` began, and delete older ones until all fit within the limit."""
        unfinished = self._directory / f"{key}{_UNFINISHED}"
        for path in (*unfinished.rglob("*"), unfinished):
            sync(path)
        unfinished.rename(self.path(key))
        sync(self._directory)
        with contextlib.suppress(OSError):  # another process is deleting the same entries
            self._prune()

    def abandon(self, key: str) -> None:
        """Delete what `start` began, unless it has been kept. Mapped files remain usable."""
        shutil.rmtree(self._directory / f"{key}{_UNFINISHED}", ignore_errors=True)

    def delete(self, key: str) -> None:
        """Delete an entry. Mapped files of it remain usable."""
        shutil.rmtree(self.path(key), ignore_errors=True)

    def touch(self, key: str) -> None:
        """Record that an entry has just been used."""
        with contextlib.suppress(OSError):
            os.utime(self.path(key))

    def _prune(self) -> None:
        """Delete the least recently used entries beyond the limit, and an entry that alone exceeds it."""
        total = 0
        paths = list(self._directory.iterdir())
        for path in sorted(paths, key=_modified, reverse=True):
            if path.name.endswith(_LOCK):
                continue
            is_stale = time.time() - _modified(path) > STALE_SECONDS
            if path.name.endswith(_UNFINISHED) and not is_stale:
                continue
            size = _size(path)
            is_kept = (
                not path.name.endswith(_UNFINISHED)
                and size <= self._limit_bytes
                and total + size <= self._limit_bytes
            )
            if is_kept:
                total += size
            else:
                shutil.rmtree(path, ignore_errors=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted by another process
        return 0.0


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            total += 0 if file.is_dir() else file.stat().st_size
    return total
