"""The metrics response: series in columns, either sampled for a plot or with all points after a cursor."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.history.schemas import Columns, Ghost, MetricsView, SeriesView
from app.series.line import FAR, Bounds, Piece, Place, list_pieces, on_line
from app.series.news import NewsRow, newest_place, read_news
from app.series.points import Point
from app.series.reader import Reader, Series
from contracts.job import JobStatus

DIGITS = 6
"""Significant digits of values in sampled series. Plots cannot show more, and this halves the response size."""
POLL_SECONDS = {JobStatus.RUNNING: 1.0, JobStatus.QUEUED: 5.0, JobStatus.PAUSED: 5.0}
"""Seconds that a client should wait before polling again, by job status. Finished jobs need no polling."""


TimedValue = tuple[int, float, float]
"""(step, seconds since 1970, value)."""


@dataclass(frozen=True)
class MetricsQuery:
    """The parameters of a metrics request."""

    names: tuple[str, ...] | None = None
    """None means every series."""
    from_step: int = 0
    to_step: int | None = None
    max_points: int = 1000
    since: str | None = None
    limit: int = 10_000
    ghosts: bool = False
    times: bool = False

    @property
    def bounds(self) -> Bounds:
        """Return the range of steps."""
        return Bounds(self.from_step, FAR if self.to_step is None else self.to_step + 1)


def etag(status: JobStatus, attempts: Sequence[Attempt], *query: object) -> str:
    """Return a weak ETag that changes whenever the response to the query changes."""
    state = [(each.number, each.acked_seq, each.first_step) for each in attempts]
    text = repr((status.value, state, query))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def poll_after(status: JobStatus, *, has_more: bool) -> float | None:
    """Return the number of seconds to wait before the next poll; None if no more data will be added."""
    return 0.0 if has_more else POLL_SECONDS.get(status)


def read_metrics(
    session: Session,
    job_id: str,
    status: JobStatus,
    attempts: Sequence[Attempt],
    query: MetricsQuery,
) -> MetricsView:
    """Return the series after the cursor `since`. Without a cursor, return series sampled for a plot."""
    found = _new(session, attempts, query) if query.since else _plot(session, attempts, query)
    place = found.place or newest_place(session, job_id, attempts)
    return {
        "object": "metrics",
        "job": job_id,
        "status": status,
        "complete": status.is_final,
        "names": found.names,
        "series": found.series,
        "ghosts": found.ghosts,
        "rewind_to_step": found.rewind_to_step,
        "has_more": found.has_more,
        "attempts": [
            {"number": each.number, "first_step": each.first_step, "last_step": each.last_step}
            for each in attempts
        ],
        "cursor": place.encode(),
        "poll_after_seconds": poll_after(status, has_more=found.has_more),
    }


def to_columns(points: Sequence[TimedValue]) -> Columns:
    """Return points as columns."""
    return {
        "step": [step for step, _, _ in points],
        "value": [value if math.isfinite(value) else None for _, _, value in points],
        "nonfinite": [step for step, _, value in points if not math.isfinite(value)],
    }


def add_rows(
    rows: Iterable[NewsRow], query: MetricsQuery, series: dict[str, list[TimedValue]]
) -> None:
    """Append the selected values to their series."""
    start, end = query.bounds.start, query.bounds.end
    for _, step, at, values in rows:
        if not start <= step < end:
            continue
        moment = at.timestamp()
        for name, value in values.items():
            if query.names is None or name in query.names:
                series.setdefault(name, []).append((step, moment, value))


@dataclass(frozen=True)
class _Found:
    """The part of a response that depends on the kind of query."""

    names: list[str]
    series: dict[str, SeriesView]
    ghosts: list[Ghost] | None = None
    rewind_to_step: int | None = None
    has_more: bool = False
    place: Place | None = None
    """Where the next page starts; None means past the end of the data."""


def _plot(session: Session, attempts: Sequence[Attempt], query: MetricsQuery) -> _Found:
    reader = Reader(session, on_line(attempts), query.names)
    names = reader.names()
    shown = names if query.names is None else query.names
    series = {
        name: _sampled_view(reader.read(name, query.bounds, query.max_points), query)
        for name in shown
    }
    ghosts = _ghosts(reader, attempts, shown, query) if query.ghosts else None
    return _Found(names, series, ghosts)


def _new(session: Session, attempts: Sequence[Attempt], query: MetricsQuery) -> _Found:
    news = read_news(session, attempts, Place.decode(query.since, "since"), query.limit)
    found: dict[str, list[TimedValue]] = {}
    for batch in news.batches:
        add_rows(batch.rows, query, found)
    rewinds = [b.rewind_to_step for b in news.batches if b.rewind_to_step is not None]
    return _Found(
        names=sorted(found),
        series={
            name: _view(points, len(points), 1, times=query.times)
            for name, points in sorted(found.items())
        },
        rewind_to_step=min(rewinds, default=None),
        has_more=news.has_more,
        place=news.place,
    )


def _ghosts(
    reader: Reader, attempts: Sequence[Attempt], names: Sequence[str], query: MetricsQuery
) -> list[Ghost]:
    """Return the points that are not on the line, by attempt."""
    ghosts: list[Ghost] = []
    replaced_from = {piece.attempt.number: piece.before for piece in list_pieces(attempts)}
    for attempt in attempts:
        # All points of an attempt that is not on the line are ghosts.
        before = replaced_from.get(attempt.number, 0)
        if before is not None and attempt.last_step is not None and attempt.last_step >= before:
            bounds = Bounds(max(before, query.from_step), query.bounds.end)
            piece = Piece(attempt, None)
            drawn = {
                name: reader.read_pieces(name, [piece], bounds, query.max_points) for name in names
            }
            series = {name: _sampled_view(s, query) for name, s in drawn.items() if s.count}
            if series:
                ghosts.append({"attempt": attempt.number, "series": series})
    return ghosts


def _sampled_view(series: Series, query: MetricsQuery) -> SeriesView:
    is_sampled = series.width > 1
    points = [_rounded(point, is_sampled) for _, point in series.points]
    return _view(points, series.count, series.width, times=query.times)


def _view(points: Sequence[TimedValue], count: int, width: int, *, times: bool) -> SeriesView:
    columns = to_columns(points)
    view: SeriesView = {
        "step": columns["step"],
        "value": columns["value"],
        "nonfinite": columns["nonfinite"],
        "points": count,
        "sampled": width > 1,
        "width": width,
    }
    if times:
        view["at"] = [round(at, 3) for _, at, _ in points]
    return view


def _rounded(point: Point, is_sampled: bool) -> TimedValue:
    _, step, at, value = point
    if is_sampled and math.isfinite(value):
        value = float(f"{value:.{DIGITS}g}")
    return step, at, value
