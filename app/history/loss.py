"""The loss curve: one clean line over all attempts, step by step, sampled, or as the means of whole windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.db.tables import Attempt, Job
from app.series import store
from app.series.line import Bounds, Place, list_pieces, on_line, step_before, where_on
from app.series.reader import Reader
from contracts.summary import window_steps

Point = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a caller wants to see of the loss, and in which format."""

    format: str
    since: str | None = None
    limit: int | None = None
    max_points: int | None = None
    window: int | Literal["auto"] | None = None


def read_loss(session: Session, attempts: Sequence[Attempt], wanted: Wanted) -> dict[str, Any]:
    """Return a LossPage as plain data: the curve's points, or sampled ones if they are wanted from the start."""
    if wanted.max_points is not None and wanted.since is None:
        return read_sampled(session, attempts, wanted.max_points)
    return read_curve(session, attempts, wanted.since, wanted.limit)


def read_curve(
    session: Session, attempts: Sequence[Attempt], since: str | None, limit: int | None
) -> dict[str, Any]:
    """Return a LossPage as plain data: there may be a hundred thousand points."""
    place = Place.decode(since, "since")
    points: list[Point] = []
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
        room = None if limit is None else limit - len(points)
        after_seq = place.seq if attempt.number == place.attempt else 0
        rows = store.list_metrics(
            session, attempt, after_seq, piece.before, None if room is None else room + 1
        )
        if room is not None and len(rows) > room:
            rows, has_more = rows[:room], True
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
    return _page(points, place, has_more=has_more, rewind_to_step=rewind_to_step)


def read_sampled(session: Session, attempts: Sequence[Attempt], max_points: int) -> dict[str, Any]:
    """Return a LossPage of at most max_points points, chosen by their loss, with all their figures."""
    attempts = on_line(attempts)
    series = Reader(session, attempts, ("loss",)).read("loss", Bounds(), max_points)
    by_number = {attempt.number: attempt for attempt in attempts}
    points: list[Point] = []
    for number, attempt in by_number.items():
        seqs = [seq for of, (seq, *_) in series.points if of == number]
        points += [
            _point(step, at, data["values"], number)
            for step, at, data in store.list_by_seq(session, attempt.id, seqs)
        ]
    place = Place(attempts[-1].number, attempts[-1].acked_seq) if attempts else Place()
    page = _page(points, place, has_more=False, rewind_to_step=None)
    return page | {"points": series.count, "sampled": series.width > 1}


def read_windows(
    session: Session, job: Job, attempts: Sequence[Attempt], window: int | Literal["auto"]
) -> dict[str, Any]:
    """Return the token-weighted mean loss of each whole window of steps, as the report does."""
    width = window_steps(job.total_steps or job.step or 1) if window == "auto" else window
    # A line that begins or stands within a window has no whole one there.
    sums: dict[int, store.WindowSums] = {}
    for piece in list_pieces(attempts):
        for number, part in store.sum_windows(session, piece.attempt, piece.before, width).items():
            sums[number] = sums[number] + part if number in sums else part
    means = [
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
    }


def _page(
    points: list[Point], place: Place, *, has_more: bool, rewind_to_step: int | None
) -> dict[str, Any]:
    return {
        "object": "list",
        "data": points,
        "has_more": has_more,
        "cursor": place.encode(),
        "rewind_to_step": rewind_to_step,
        "nonfinite": [point["step"] for point in points if point["loss"] is None],
    }


def _lower(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def _point(step: int, at: datetime, values: dict[str, Any], attempt: int) -> Point:
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
    # Non-finite numbers are stored as strings: JSON has none.
    return value if isinstance(value, int | float) and math.isfinite(value) else None
