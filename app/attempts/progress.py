"""What newly stored records say: how far the job is, and what people should know of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.jobs.store import NO_ROWS, HeldJob
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
"""Weight of one step in the moving average of the steps' durations."""
EVENT_LEVELS = {"warning", "error"}
_RESERVED = {"session", "job_id", "code", "at", "level", "attempt"}
"""Names that no figure of an event can have."""


@dataclass(frozen=True)
class News:
    """What a batch of records changes."""

    job: dict[str, Any] = field(default_factory=dict)
    attempt: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """(code, level, figures)."""


def read_news(job: HeldJob, attempt: HeldAttempt, records: Sequence[Record]) -> News:
    """Return what records that were not stored before say, in their order.

    A record that arrives after later ones still becomes an event, but takes back no progress.
    """
    news = News()
    pace = job.seconds_per_step
    for record in sorted(records, key=lambda record: record.seq):
        is_latest = record.seq > attempt.seen_seq
        match record:
            case MetricRecord():
                first = news.attempt.get("first_step", attempt.first_step)
                if "loss" in record.values and (first is None or record.step < first):
                    news.attempt["first_step"] = record.step
                if is_latest and "loss" in record.values:
                    pace = _next_pace(pace, record.values.get("seconds"))
                    news.attempt["last_step"] = record.step
                    news.job.update(
                        step=record.step,
                        epoch=_finite(record.values.get("epoch")),
                        last_loss=_finite(record.values["loss"]),
                        seconds_per_step=pace,
                    )
            case PhaseRecord():
                news.events.append(("phase", "info", {"phase": record.phase.value}))
                news.attempt.update(_resumed(attempt, record))
                if is_latest:
                    news.job.update(NO_ROWS, phase=record.phase)
                    if record.total_steps is not None:
                        news.job["total_steps"] = record.total_steps
            case EvalRecord():
                news.events.append(
                    (
                        "evaluated",
                        "info",
                        {"step": record.step, "loss": _finite(record.loss) or 0.0},
                    )
                )
                if is_latest:
                    news.job["eval_loss"] = _finite(record.loss)
                    news.job["eval_seconds"] = _finite(record.seconds)
            case CheckpointRecord():
                news.events.append(
                    ("checkpoint", "info", {"name": record.name, "step": record.step})
                )
                furthest = news.job.get("checkpoint_step", job.checkpoint_step)
                news.job["checkpoint_step"] = max(furthest, record.step)
            case GapRecord() | LogRecord():
                news.events.extend(_told(record))
            case _:
                pass
    return news


def _resumed(attempt: HeldAttempt, record: PhaseRecord) -> dict[str, Any]:
    if record.resumed_from is None or record.resumed_from >= attempt.number:
        return {}
    return {"resumed_from": record.resumed_from, "resumed_step": record.resumed_step}


def _told(record: GapRecord | LogRecord) -> list[tuple[str, str, dict[str, Any]]]:
    if isinstance(record, LogRecord):
        is_event = record.level in EVENT_LEVELS
        return [("log", record.level, {"message": record.message[:2000]})] if is_event else []
    if record.number & (
        record.number - 1
    ):  # the gaps 1, 2, 4, 8 … are told, so that they do not flood
        return []
    figures = record.model_dump(include={"first_step", "last_step", "total"})
    return [("record_gap", "warning", figures)]


def read_notes(attempt: HeldAttempt, notes: Sequence[Note], news: News) -> dict[str, Any]:
    """Add the supervisor's notes that are new, and return what of the attempt they change."""
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
        news.events.append((note.code.replace("\0", ""), note.level, figures))
    return {} if acked == attempt.acked_note else {"acked_note": acked}


def _storable(value: str | float | None) -> str | float | None:
    if isinstance(value, str):
        return value[:500].replace("\0", "")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def note_phase(job: HeldJob, phase: Phase | None, news: News) -> None:
    """Add the phase that the supervisor itself is in."""
    if phase is not None and news.job.get("phase", job.phase) != phase:
        news.job.update(NO_ROWS, phase=phase)
        news.events.append(("phase", "info", {"phase": phase.value}))


def note_rows(job: HeldJob, rows: RowProgress | None, news: News) -> None:
    """Add the rows that are done, if they are those of the phase that the job is in."""
    if rows is not None and rows.phase == news.job.get("phase", job.phase):
        news.job.update(
            rows_done=min(rows.rows_done, rows.rows_total),
            rows_total=rows.rows_total,
            rows_seconds=rows.seconds,
            rows_seconds_left=rows.seconds_left,
        )


def _next_pace(pace: float | None, seconds: float | None) -> float | None:
    seconds = _finite(seconds)
    if seconds is None or seconds < 0:
        return pace
    return seconds if pace is None else pace + PACE_WEIGHT * (seconds - pace)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
