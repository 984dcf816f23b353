"""Converts file errors in the data directory to API errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors.base import AppError
from app.errors.kinds import StorageFull, StorageUnavailable


@contextmanager
def storage_errors() -> Iterator[None]:
    """Convert every OSError in this block to an AppError."""
    try:
        yield
    except OSError as error:
        raise storage_failure(error) from error


def storage_failure(error: OSError) -> AppError:
    """Return the AppError for a file error in the data directory."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull()
    return StorageUnavailable()
