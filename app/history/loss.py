"""The loss curve across all attempts: every step, sampled points, or means of complete windows.

A page may contain 100,000 points, so it is built from plain dicts and lists.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.db.tables import Attempt, Job
from app.history.metrics import poll_after
from app.history.schemas import LossPage, LossPoint, WindowMean, WindowPage
from app.series import store
from app.series.line import Bounds, Place, list_pieces, on_line, step_before, where_on
from app.series.reader import Reader
from contracts.job import JobStatus
from contracts.summary import window_steps


@dataclass(frozen=True)
class LossQuery:
    """The parameters of a loss request."""

    format: str
    since: str | None = None
    limit: int | None = None
    max_points: int | None = None
    window: int | Literal["auto"] | None = None


def read_loss(
    session: Session, status: JobStatus, attempts: Sequence[Attempt], query: LossQuery
) -> LossPage:
    """Return the points after the cursor `since`. Without a cursor, return sampled points if `max_points` is set."""
    if query.max_points is not None and query.since is None:
        return _read_sampled(session, status, attempts, query.max_points)
    return _read_points(session, status, attempts, query)


def _read_points(
    session: Session, status: JobStatus, attempts: Sequence[Attempt], query: LossQuery
) -> LossPage:
    since, limit = query.since, query.limit
    place = Place.decode(since, "since")
    points: list[LossPoint] = []
    rewind_to_step: int | None = None
    has_more = False
    pieces = list_pieces(attempts)
    start = where_on(pieces, place)
    if start != place:
        rewind_to_step, place = 0, start
    for piece in pieces:
        attempt = piece.attempt
        if attempt.number < place.attempt:
            continue
        remaining = None if limit is None else limit - len(points)
        after_seq = place.seq if attempt.number == place.attempt else 0
        rows = store.list_metrics(
            session, attempt, after_seq, piece.before, None if remaining is None else remaining + 1
        )
        if remaining is not None and len(rows) > remaining:
            rows, has_more = rows[:remaining], True
        if rows:
            if since is not None and attempt.number > place.attempt > 0:
                rewind_to_step = _lower(rewind_to_step, step_before(attempt))
            points += [
                _point(step, at, data["values"], attempt.number)
                for _, step, at, data in rows
                if "loss" in data["values"]
            ]
            if attempt.number != place.attempt:
                place = replace(place, attempt=attempt.number, sample=0)
            place = replace(place, seq=rows[-1][0])
        if has_more:
            break
    return _page(status, points, place, has_more=has_more, rewind_to_step=rewind_to_step)


def _read_sampled(
    session: Session, status: JobStatus, attempts: Sequence[Attempt], max_points: int
) -> LossPage:
    """Return at most `max_points` points, selected by loss, with all of their values."""
    attempts = on_line(attempts)
    series = Reader(session, attempts, ("loss",)).read("loss", Bounds(), max_points)
    by_number = {attempt.number: attempt for attempt in attempts}
    points: list[LossPoint] = []
    for number, attempt in by_number.items():
        seqs = [seq for of, (seq, *_) in series.points if of == number]
        points += [
            _point(step, at, data["values"], number)
            for step, at, data in store.list_by_seq(session, attempt.id, seqs)
        ]
    place = Place(attempts[-1].number, attempts[-1].acked_seq) if attempts else Place()
    page = _page(status, points, place, has_more=False, rewind_to_step=None)
    page["points"], page["sampled"] = series.count, series.width > 1
    return page


def read_windows(
    session: Session, job: Job, attempts: Sequence[Attempt], window: int | Literal["auto"]
) -> WindowPage:
    """Return the token-weighted mean loss of each complete window of steps, computed as in the report."""
    width = window_steps(job.total_steps or job.step or 1) if window == "auto" else window
    # Windows that are only partly on the line (at its start or end) have fewer steps and are omitted.
    sums: dict[int, store.WindowSums] = {}
    for piece in list_pieces(attempts):
        for number, part in store.sum_windows(session, piece.attempt, piece.before, width).items():
            sums[number] = sums[number] + part if number in sums else part
    means: list[WindowMean] = [
        {"step": (number + 1) * width, "loss": part.mean}
        for number, part in sorted(sums.items())
        if part.steps == width
    ]
    return {
        "object": "list",
        "window": width,
        "data": means,
        "has_more": False,
        "cursor": None,
        "rewind_to_step": None,
        "nonfinite": [mean["step"] for mean in means if mean["loss"] is None],
        "poll_after_seconds": poll_after(job.status, has_more=False),
    }


def _page(
    status: JobStatus,
    points: list[LossPoint],
    place: Place,
    *,
    has_more: bool,
    rewind_to_step: int | None,
) -> LossPage:
    return {
        "object": "list",
        "data": points,
        "has_more": has_more,
        "cursor": place.encode(),
        "rewind_to_step": rewind_to_step,
        "nonfinite": [point["step"] for point in points if point["loss"] is None],
        "poll_after_seconds": poll_after(status, has_more=has_more),
    }


def _lower(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def _point(step: int, at: datetime, values: dict[str, Any], attempt: int) -> LossPoint:
    return {
        "step": step,
        "loss": _finite(values.get("loss")),
        "learning_rate": _finite(values.get("learning_rate")),
        "grad_norm": _finite(values.get("grad_norm")),
        "epoch": _finite(values.get("epoch")),
        "attempt": attempt,
        "at": at.isoformat().replace("+00:00", "Z"),
    }


def _finite(value: float | str | None) -> float | None:
    # Non-finite numbers are stored as strings, because JSON cannot represent them.
    return value if isinstance(value, int | float) and math.isfinite(value) else None
