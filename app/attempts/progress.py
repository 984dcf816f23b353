"""Derives changes from newly stored records: the progress of the job and the attempt, and new events."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from app.jobs.progress import UNCHANGED, Changes, JobProgress, Unchanged
from app.jobs.store import HeldJob
from app.leases.store import HeldAttempt
from contracts.attempt import Note, RowProgress
from contracts.job import Phase
from contracts.record import (
    CheckpointRecord,
    EvalRecord,
    GapRecord,
    LogRecord,
    MetricRecord,
    PhaseRecord,
    Record,
)

PACE_WEIGHT = 0.1
"""Weight of the newest step in the moving average of step durations."""
EVENT_LEVELS = {"warning", "error"}
"""Log records at these levels are also stored as events."""
_RESERVED = {"session", "job_id", "code", "at", "level", "attempt"}
"""Parameters of insert_event, which the values in a note must not override."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class AttemptProgress(Changes):
    """Changed columns of an attempt, named as in HeldAttempt."""

    seen_seq: int | Unchanged = UNCHANGED
    acked_seq: int | Unchanged = UNCHANGED
    folded_seq: int | Unchanged = UNCHANGED
    acked_output: int | Unchanged = UNCHANGED
    acked_note: int | Unchanged = UNCHANGED
    judged_seq: int | Unchanged = UNCHANGED
    judged_at: datetime | Unchanged = UNCHANGED
    first_step: int | Unchanged = UNCHANGED
    last_step: int | Unchanged = UNCHANGED
    resumed_from: int | Unchanged = UNCHANGED
    resumed_step: int | Unchanged | None = UNCHANGED


class NewEvent(NamedTuple):
    """An event to insert."""

    code: str
    level: str
    figures: dict[str, Any]


@dataclass
class News:
    """Changes from one worker message, collected to be written in a few statements."""

    job: JobProgress = field(default_factory=JobProgress)
    attempt: AttemptProgress = field(default_factory=AttemptProgress)
    events: list[NewEvent] = field(default_factory=list)


def read_news(job: HeldJob, attempt: HeldAttempt, records: Sequence[Record]) -> News:
    """Return the changes from the new records, applied in order of `seq`.

    A late record still creates its event, but never moves the progress backwards.
    """
    news = News()
    in_order = sorted(records, key=lambda record: record.seq)
    _add_metrics(news, job, attempt, in_order)
    for record in in_order:
        is_latest = record.seq > attempt.seen_seq
        match record:
            case MetricRecord():
                pass  # the most frequent type first; already processed by _add_metrics
            case PhaseRecord():
                _add_phase(news, attempt, record, is_latest=is_latest)
            case EvalRecord():
                _add_evaluation(news, record, is_latest=is_latest)
            case CheckpointRecord():
                saved = {"name": record.name, "step": record.step}
                news.events.append(NewEvent("checkpoint", "info", saved))
                furthest = current(news.job.checkpoint_step, job.checkpoint_step)
                news.job = replace(news.job, checkpoint_step=max(furthest, record.step))
            case GapRecord():
                _add_gap(news, record)
            case LogRecord() if record.level in EVENT_LEVELS:
                logged = {"message": record.message[:2000]}
                news.events.append(NewEvent("log", record.level, logged))
            case _:
                pass
    return news


def read_notes(attempt: HeldAttempt, notes: Sequence[Note], news: News) -> None:
    """Add an event for each new note, in order, up to the first gap after the acknowledged ones."""
    fresh = {note.number: note for note in notes if note.number > attempt.acked_note}
    acked = attempt.acked_note
    while acked + 1 in fresh:
        acked += 1
        note = fresh[acked]
        figures = {
            key[:50].replace("\0", ""): _storable(value)
            for key, value in note.figures.items()
            if key not in _RESERVED
        }
        news.events.append(NewEvent(note.code.replace("\0", ""), note.level, figures))
    if acked != attempt.acked_note:
        news.attempt = replace(news.attempt, acked_note=acked)


def note_phase(job: HeldJob, phase: Phase | None, news: News) -> None:
    """Record the phase that the supervisor reports, unless the job is already in it."""
    if phase is not None and current(news.job.phase, job.phase) != phase:
        news.job = news.job.enter(phase)
        news.events.append(NewEvent("phase", "info", {"phase": phase.value}))


def note_rows(job: HeldJob, rows: RowProgress | None, news: News) -> None:
    """Record the number of processed rows if it belongs to the job's current phase."""
    if rows is not None and rows.phase == current(news.job.phase, job.phase):
        news.job = replace(
            news.job,
            rows_done=min(rows.rows_done, rows.rows_total),
            rows_total=rows.rows_total,
            rows_seconds=rows.seconds,
            rows_seconds_left=rows.seconds_left,
        )


def _add_metrics(news: News, job: HeldJob, attempt: HeldAttempt, records: Sequence[Record]) -> None:
    first_step, pace = attempt.first_step, job.seconds_per_step
    newest: MetricRecord | None = None
    # Thousands of records may arrive per second, so use local variables and update the row once after the loop.
    for record in records:
        if not isinstance(record, MetricRecord) or "loss" not in record.values:
            continue
        if first_step is None or record.step < first_step:
            first_step = record.step
        if record.seq > attempt.seen_seq:
            pace = _next_pace(pace, record.values.get("seconds"))
            newest = record
    if first_step is not None and first_step != attempt.first_step:
        news.attempt = replace(news.attempt, first_step=first_step)
    if newest is not None:
        news.attempt = replace(news.attempt, last_step=newest.step)
        news.job = replace(
            news.job,
            step=newest.step,
            epoch=_finite(newest.values.get("epoch")),
            last_loss=_finite(newest.values["loss"]),
            seconds_per_step=pace,
        )


def _add_evaluation(news: News, record: EvalRecord, *, is_latest: bool) -> None:
    figures = {"step": record.step, "loss": _finite(record.loss) or 0.0}
    news.events.append(NewEvent("evaluated", "info", figures))
    if is_latest:
        # The evaluation at step 0 measures the base model. A run that starts over has no evaluation yet.
        loss = _finite(record.loss) if record.step > 0 else None
        news.job = replace(news.job, eval_loss=loss, eval_seconds=_finite(record.seconds))


def _add_phase(news: News, attempt: HeldAttempt, record: PhaseRecord, *, is_latest: bool) -> None:
    news.events.append(NewEvent("phase", "info", {"phase": record.phase.value}))
    if record.resumed_from is not None and record.resumed_from < attempt.number:
        news.attempt = replace(
            news.attempt, resumed_from=record.resumed_from, resumed_step=record.resumed_step
        )
    if is_latest:
        news.job = news.job.enter(record.phase)
        if record.total_steps is not None:
            news.job = replace(news.job, total_steps=record.total_steps)


def _add_gap(news: News, record: GapRecord) -> None:
    if record.number & (record.number - 1):
        return  # only the 1st, 2nd, 4th, 8th … gap creates an event, to avoid flooding the list
    figures = record.model_dump(include={"first_step", "last_step", "total"})
    news.events.append(NewEvent("record_gap", "warning", figures))


def current(change: _T | Unchanged, stored: _T) -> _T:
    """Return a column's value after the change."""
    return stored if isinstance(change, Unchanged) else change


def _storable(value: str | float | None) -> str | float | None:
    if isinstance(value, str):
        return value[:500].replace("\0", "")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _next_pace(pace: float | None, seconds: float | None) -> float | None:
    seconds = _finite(seconds)
    if seconds is None or seconds < 0:
        return pace
    return seconds if pace is None else pace + PACE_WEIGHT * (seconds - pace)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
