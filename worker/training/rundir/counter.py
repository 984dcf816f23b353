"""RowCounter: writes the number of rows processed in the current phase, and the time remaining, to progress.json.

The file is replaced at most a few times a second and exists only while rows are counted. It is removed before the next
phase is recorded, so a reader that reads the records first never attributes the rows of one phase to another.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.attempt import RowProgress
from contracts.job import Phase
from contracts.run.run_dir import write_atomically

WRITE_SECONDS = 0.5
"""Minimum time between two writes of the file."""

Count = Callable[[int, int], None]
"""Called with the number of rows processed and the work they took, in a unit of roughly constant cost (tokens)."""


def count_nothing(rows: int, work: int) -> None:
    """Count nothing."""


class RowCounter:
    """Writes row counts to the file at `path`; writes nothing if `path` is None."""

    def __init__(
        self,
        path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self._path = path
        self._clock = clock
        self._write_seconds = write_seconds

    @contextlib.contextmanager
    def counting(self, phase: Phase, rows: int, work: int) -> Iterator[Count]:
        """Yield a function that counts a phase's processed rows, up to `rows`, and their work, up to `work`."""
        if self._path is None:
            yield count_nothing
            return
        began = written = self._clock()
        rows_done = work_done = 0

        def count(more_rows: int, more_work: int) -> None:
            nonlocal rows_done, work_done, written
            rows_done = min(rows_done + more_rows, rows)
            work_done = min(work_done + more_work, work)
            now = self._clock()
            if now - written >= self._write_seconds:
                written = now
                self._write(_progress(phase, rows_done, rows, now - began, work_done / work))

        self._write(_progress(phase, 0, rows, 0.0, 0.0))
        try:
            yield count
        finally:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self, progress: RowProgress) -> None:
        assert self._path is not None  # noqa: S101  # counting() has checked it
        with contextlib.suppress(OSError):  # a full disk: the run continues without it
            write_atomically(self._path, progress.model_dump_json(), sync=False)


def _progress(
    phase: Phase, rows_done: int, rows_total: int, seconds: float, share: float
) -> RowProgress:
    return RowProgress(
        phase=phase,
        rows_done=rows_done,
        rows_total=rows_total,
        seconds=seconds,
        seconds_left=seconds * (1 - share) / share if share > 0 else None,
    )
