"""Recorder: appends the attempt's records, numbered from 1, to records.jsonl. Nothing else writes to that file."""

import contextlib
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from contracts.base import utc_now
from contracts.job import Phase
from contracts.record import (
    CheckpointRecord,
    EvalRecord,
    GapRecord,
    LogLevel,
    LogRecord,
    MetricRecord,
    PhaseRecord,
    Record,
    encode_line,
    printed_line,
)
from worker.training.errors import StopRequested
from worker.training.rundir.spool import Gap, Spool

_FSYNC_SECONDS = 1.0
_RECURRING = frozenset({Phase.EVALUATING, Phase.SAVING})
"""Phases that recur with each evaluation and checkpoint; they are not recorded while the spool is nearly full."""


class Recorder:
    """Writes each record with a single write, so records never interleave; fsyncs about once a second."""

    def __init__(
        self,
        path: Path,
        spool_bytes: int | None = None,
        now: Callable[[], datetime] = utc_now,
        rank: int = 0,
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(path, flags, 0o644)
        self._now = now
        self._rank = rank
        self._seq = 0
        self._spool = Spool(spool_bytes)
        self._gap: Gap | None = None
        self._held: EvalRecord | None = None
        self._gaps, self._skipped = 0, 0
        self._synced_at = time.monotonic()
        self.resumed_from: int | None = None
        """Number of the attempt from whose checkpoint the run resumed. Every later phase record contains it."""
        self.resumed_step: int | None = None
        """Step of that checkpoint. Every later phase record contains it."""
        self._phase: Phase | None = None
        self._recorded_phase: Phase | None = None
        self._phase_since = self._synced_at
        self._phase_seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except OSError:
            if kind is None or issubclass(kind, StopRequested):
                raise  # otherwise the run has already failed, and that error is reported

    def metric(self, step: int, values: dict[str, float]) -> None:
        """Record named numbers at a step, unless the spool is nearly full and skips them."""
        if not self._spool.admits("metric"):
            self._skip(step)
            return
        self._release_held()
        self._close_gap()
        self._write(MetricRecord(seq=self._next(), at=self._now(), step=step, values=values))

    def evaluation(
        self,
        step: int,
        loss: float,
        tokens: int,
        seconds: float,
        token_accuracy: float | None = None,
    ) -> None:
        """Record an evaluation completed after `step` steps.

        While the spool is nearly full, an evaluation that would be skipped is held. If a checkpoint or the end of the
        run comes next, it is recorded after all, because both need their evaluation.
        """
        self._release_held()
        self._held = EvalRecord(
            seq=self._next(),
            at=self._now(),
            step=step,
            loss=loss,
            tokens=tokens,
            token_accuracy=token_accuracy,
            seconds=seconds,
        )
        if self._spool.admits("evaluation"):
            self._close_gap()
            self._write_held()

    def checkpoint(self, step: int, name: str, size_bytes: int) -> None:
        """Record a checkpoint that is complete on disk."""
        self._close_gap()
        self._write_held()
        self._write(
            CheckpointRecord(
                seq=self._next(), at=self._now(), step=step, name=name, bytes=size_bytes
            )
        )

    def phase(self, phase: Phase, step: int = 0, total_steps: int | None = None) -> None:
        """Enter a phase; the time until the next phase begins counts towards it."""
        if phase is self._phase:
            return
        self._phase_seconds = self.phase_seconds()
        self._phase, self._phase_since = phase, time.monotonic()
        if self._spool.is_nearly_full and (phase in _RECURRING or phase is self._recorded_phase):
            return
        self._recorded_phase = phase
        self._write(
            PhaseRecord(
                seq=self._next(),
                at=self._now(),
                phase=phase,
                step=step,
                total_steps=total_steps,
                resumed_from=self.resumed_from,
                resumed_step=self.resumed_step,
            )
        )

    def log(
        self, message: str, level: LogLevel = "info", step: int | None = None, **data: Any
    ) -> None:
        """Record a message for users, and print it to the program's output.

        Ranks above 0 print only warnings and errors, because rank 0 prints the rest.
        """
        is_printed = self._rank == 0 or level != "info"
        # If the disk is full, writing the record (below) raises the error.
        with contextlib.suppress(OSError):
            if is_printed:
                print(printed_line(level, message), flush=True)
        self._write(
            LogRecord(
                seq=self._next(), at=self._now(), level=level, message=message, step=step, data=data
            )
        )

    def phase_seconds(self) -> dict[str, float]:
        """Return the seconds spent in each phase so far, including the current one."""
        seconds = dict(self._phase_seconds)
        if self._phase is not None:
            spent = seconds.get(self._phase.value, 0.0)
            seconds[self._phase.value] = spent + time.monotonic() - self._phase_since
        return seconds

    def close(self) -> None:
        """Flush everything to the disk and close the file."""
        self._close_gap()
        self._write_held()
        os.fsync(self._file)
        os.close(self._file)

    def _skip(self, step: int) -> None:
        self._gap = Gap.of(step) if self._gap is None else self._gap.with_one_more(step)

    def _release_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._skip(held.step)

    def _write_held(self) -> None:
        """Write the held evaluation under the next sequence number."""
        held, self._held = self._held, None
        if held is not None:
            self._write(held.model_copy(update={"seq": self._next()}))

    def _close_gap(self) -> None:
        """Record the pending gap. Call this before recording more metrics or a checkpoint, and before closing."""
        gap, self._gap = self._gap, None
        if gap is None:
            return
        self._gaps += 1
        self._skipped += gap.count
        self._write(
            GapRecord(
                seq=self._next(),
                at=self._now(),
                first_step=gap.first_step,
                last_step=gap.last_step,
                count=gap.count,
                number=self._gaps,
                total=self._skipped,
            )
        )

    def _next(self) -> int:
        return self._seq + 1

    def _write(self, record: Record) -> None:
        line = encode_line(record)
        written = os.write(self._file, line)
        while written < len(line):  # a nearly full disk accepts part of it and rejects the rest
            written += os.write(self._file, line[written:])
        self._seq = record.seq
        self._spool.written(len(line))
        if time.monotonic() - self._synced_at >= _FSYNC_SECONDS:
            os.fsync(self._file)
            self._synced_at = time.monotonic()
