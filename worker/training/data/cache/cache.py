"""Finds the tokens of a run in the cache, or creates and stores them. Without a usable disk, they stay in memory."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

from contracts.run.run_dir import Placed
from worker.training.data.bounds import Bounds
from worker.training.data.cache.entries import Entries
from worker.training.data.cache.key import NotCacheable
from worker.training.data.prepared import Data

Make = Callable[[Path | None], Data]
"""Creates the data; the samples are files in the directory if possible. May raise TrainingError."""
_FOUND = "read from the cache"
_CHANGED = "the model's files have changed since the tokenizer was loaded"


class Cache:
    """The cache of one worker, in a directory of its disk."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        """`limit_bytes`: the size above which the least recently used entries are deleted."""
        self._directory = directory
        self._limit_bytes = limit_bytes

    @classmethod
    def of(cls, placed: Placed) -> Self | None:
        """Return the cache that a run may use, if any."""
        if placed.token_cache is None:
            return None
        return cls(placed.token_cache, placed.token_cache_bytes)

    def find_or_make(
        self,
        find_key: Callable[[], str],
        make: Make,
        bounds: Bounds,
        is_current: Callable[[], bool] = lambda: True,
    ) -> tuple[Data, str]:
        """Return the data and, for the log, how it was obtained. Raises only what `make` and `bounds` raise.

        `find_key` may raise NotCacheable. `is_current`: whether the tokenizer in memory was loaded from the files that the key covers.
        """
        try:
            key = find_key()
            entries = Entries(self._directory, self._limit_bytes)
        except (OSError, NotCacheable) as error:
            return _make_only(make, str(error))
        if not is_current():
            return _make_only(make, _CHANGED)
        found = _read(entries, key)
        if found is not None:
            return found, _FOUND
        with contextlib.ExitStack() as until_made:
            try:
                is_locked = until_made.enter_context(entries.locked(key, bounds))
            except OSError as error:
                return _make_only(make, str(error))
            if not is_locked:
                return _make_only(make, "another process is still creating the same tokens")
            found = _read(entries, key)  # another process may have created it in the meantime
            return (
                (found, _FOUND)
                if found is not None
                else _make_and_keep(entries, key, make, is_current)
            )


def _make_only(make: Make, reason: str) -> tuple[Data, str]:
    return make(None), f"tokenized but not cached ({reason})"


def _make_and_keep(
    entries: Entries, key: str, make: Make, is_current: Callable[[], bool]
) -> tuple[Data, str]:
    try:
        directory = entries.start(key)
    except OSError as error:
        return _make_only(make, str(error))
    try:
        data = make(directory)
        problem: OSError | str | None = data.train.problem or data.evaluation.problem
        if problem is None and not is_current():
            problem = _CHANGED
        if problem is None:
            try:
                data.write_figures(directory)
                entries.keep(key)
            except OSError as error:
                problem = error
    finally:
        entries.abandon(key)
    if problem is not None:
        return data, f"tokenized but not cached ({problem})"
    return data, "tokenized"


def _read(entries: Entries, key: str) -> Data | None:
    path = entries.path(key)
    if not path.is_dir():
        return None
    try:
        data = Data.read(path)
    except (OSError, ValueError):  # damaged: create it again
        entries.delete(key)
        return None
    entries.touch(key)
    return data
