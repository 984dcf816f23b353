"""The metrics answer: every series in columns, sampled for a plot, or what is new since a cursor."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.series.line import FAR, Bounds, Piece, Place, list_pieces, on_line
from app.series.news import Row, newest_place, read_news
from app.series.points import Point
from app.series.reader import Reader, Series
from contracts.job import JobStatus

DIGITS = 6
"""Significant digits of a value in a sampled series: more than a plot can show, in half the bytes."""
POLL_SECONDS = {JobStatus.RUNNING: 1.0, JobStatus.QUEUED: 5.0, JobStatus.PAUSED: 5.0}
"""After how long a client may ask again; a job that has ended is not there."""


@dataclass(frozen=True)
class Wanted:
    """What a caller wants to see."""

    names: tuple[str, ...] | None = None
    """Null for every series."""
    from_step: int = 0
    to_step: int | None = None
    max_points: int = 1000
    since: str | None = None
    limit: int = 10_000
    ghosts: bool = False
    times: bool = False

    @property
    def bounds(self) -> Bounds:
        """Return the steps wanted."""
        return Bounds(self.from_step, FAR if self.to_step is None else self.to_step + 1)


def etag(status: JobStatus, attempts: Sequence[Attempt], *wanted: object) -> str:
    """Return what changes whenever the answer to what is wanted would."""
    state = [(each.number, each.acked_seq, each.first_step) for each in attempts]
    text = repr((status.value, state, wanted))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def poll_after(status: JobStatus, *, has_more: bool) -> float | None:
    """Return after how many seconds to ask again; None if nothing will be added."""
    return 0.0 if has_more else POLL_SECONDS.get(status)


def read_metrics(
    session: Session, job_id: str, status: JobStatus, attempts: Sequence[Attempt], wanted: Wanted
) -> dict[str, Any]:
    """Return the answer as plain data."""
    answer = _new(session, attempts, wanted) if wanted.since else _plot(session, attempts, wanted)
    place = answer.pop("place")
    if place is None:
        place = newest_place(session, job_id, attempts)
    return {
        "object": "metrics",
        "job": job_id,
        "status": status.value,
        "complete": status.is_final,
        **answer,
        "attempts": [
            {"number": each.number, "first_step": each.first_step, "last_step": each.last_step}
            for each in attempts
        ],
        "cursor": place.encode(),
        "poll_after_seconds": poll_after(status, has_more=answer["has_more"]),
    }


def column(points: Sequence[tuple[int, float, float]], *, times: bool) -> dict[str, Any]:
    """Return (step, at, value) points as columns."""
    columns: dict[str, Any] = {
        "step": [step for step, _, _ in points],
        "value": [value if math.isfinite(value) else None for _, _, value in points],
        "nonfinite": [step for step, _, value in points if not math.isfinite(value)],
    }
    if times:
        columns["at"] = [round(at, 3) for _, at, _ in points]
    return columns


def columns_of(
    rows: Iterable[Row], wanted: Wanted, series: dict[str, list[tuple[int, float, float]]]
) -> None:
    """Add the wanted points of rows to their series."""
    start, end = wanted.bounds.start, wanted.bounds.end
    for _, step, at, values in rows:
        if not start <= step < end:
            continue
        moment = at.timestamp()
        for name, value in values.items():
            if wanted.names is None or name in wanted.names:
                series.setdefault(name, []).append((step, moment, value))


def _plot(session: Session, attempts: Sequence[Attempt], wanted: Wanted) -> dict[str, Any]:
    reader = Reader(session, on_line(attempts), wanted.names)
    names = reader.names()
    shown = names if wanted.names is None else wanted.names
    return {
        "names": names,
        "series": {
            name: _series(reader.read(name, wanted.bounds, wanted.max_points), wanted)
            for name in shown
        },
        "ghosts": _ghosts(reader, attempts, shown, wanted) if wanted.ghosts else None,
        "rewind_to_step": None,
        "has_more": False,
        "place": None,
    }


def _new(session: Session, attempts: Sequence[Attempt], wanted: Wanted) -> dict[str, Any]:
    news = read_news(session, attempts, Place.decode(wanted.since, "since"), wanted.limit)
    found: dict[str, list[tuple[int, float, float]]] = {}
    for batch in news.batches:
        columns_of(batch.rows, wanted, found)
    rewinds = [b.rewind_to_step for b in news.batches if b.rewind_to_step is not None]
    return {
        "names": sorted(found),
        "series": {
            name: column(points, times=wanted.times)
            | {"points": len(points), "sampled": False, "width": 1}
            for name, points in sorted(found.items())
        },
        "ghosts": None,
        "rewind_to_step": min(rewinds, default=None),
        "has_more": news.has_more,
        "place": news.place,
    }


def _ghosts(
    reader: Reader, attempts: Sequence[Attempt], names: Sequence[str], wanted: Wanted
) -> list[dict[str, Any]]:
    """Return what later attempts have replaced, attempt by attempt."""
    ghosts = []
    replaced_from = {piece.attempt.number: piece.before for piece in list_pieces(attempts)}
    for attempt in attempts:
        before = replaced_from.get(attempt.number, 0)  # one that is beside the line, from its start
        if before is not None and attempt.last_step is not None and attempt.last_step >= before:
            bounds = Bounds(max(before, wanted.from_step), wanted.bounds.end)
            piece = Piece(attempt, None)
            drawn = {
                name: reader.read_pieces(name, [piece], bounds, wanted.max_points) for name in names
            }
            series = {name: _series(each, wanted) for name, each in drawn.items() if each.count}
            if series:
                ghosts.append({"attempt": attempt.number, "series": series})
    return ghosts


def _series(series: Series, wanted: Wanted) -> dict[str, Any]:
    points = [point for _, point in series.points]
    is_sampled = series.width > 1
    return column([_plain(point, is_sampled) for point in points], times=wanted.times) | {
        "points": series.count,
        "sampled": is_sampled,
        "width": series.width,
    }


def _plain(point: Point, is_sampled: bool) -> tuple[int, float, float]:
    _, step, at, value = point
    if is_sampled and math.isfinite(value):
        value = float(f"{value:.{DIGITS}g}")
    return step, at, value
