"""Builds files that are derived from stored data. They have no row, so the sweep deletes them after an hour."""

import threading
from collections.abc import Callable
from pathlib import Path

from app.errors.disk import storage_errors
from app.storage.data_dir import Draft, Storage

_BUILDING = tuple(threading.Lock() for _ in range(16))
"""Shared by the paths. A client that downloads several ranges at once must not build the file as many times."""


def build(storage: Storage, relative: str, write: Callable[[Draft], object]) -> Path:
    """Return the path of a file, which `write` builds unless it exists. Raises a storage error, or an error of `write`."""
    path = storage.path(relative)
    with storage_errors(), _BUILDING[hash(relative) % len(_BUILDING)]:
        if not path.is_file():
            with storage.draft() as draft:
                write(draft)
                draft.keep(relative)
    return path
