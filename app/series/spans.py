"""Reads an attempt's series between two steps: from blocks where they are fine enough, otherwise from records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.db.tables import Attempt
from app.series import blocks, store
from app.series.cache import Cache
from app.series.line import Bounds
from app.series.points import Point, unpack


@dataclass(frozen=True)
class Span:
    """A series of an attempt within step bounds."""

    name: str
    attempt: Attempt
    bounds: Bounds

    @property
    def is_sampled(self) -> bool:
        """Whether the series is sampled by the supervisor. Samples are not folded into blocks."""
        return self.name.startswith(blocks.SYSTEM)


@dataclass
class SpanPoints:
    """The points of a span, possibly thinned."""

    points: list[Point]
    count: int
    """Number of points before thinning."""

    @property
    def is_whole(self) -> bool:
        """Whether all points are included."""
        return len(self.points) == self.count


class _Blocks(NamedTuple):
    """The blocks of a level numbered from `start` up to, but not including, `end`."""

    level: int
    start: int
    end: int


def estimate_records(cache: Cache, span: Span) -> int:
    """Estimate how many records a span covers: those in its finest blocks, and those that are not in a block yet."""
    attempt = span.attempt
    if span.is_sampled:
        return 0
    if span.bounds == Bounds():
        return attempt.acked_seq
    first, last = store.find_span(cache.session, attempt.id, span.bounds)
    return (last - first + 1) * blocks.LENGTH + attempt.acked_seq - attempt.folded_seq


def read_span(cache: Cache, span: Span, coarsest: int) -> SpanPoints:
    """Return the points of a span from blocks at level `coarsest` or finer; level 0 returns every point."""
    if span.is_sampled:
        points = _within(cache.samples(span.attempt).get(span.name, ()), span.bounds)
        return SpanPoints(points, len(points))
    found = SpanPoints([], 0)
    for selected in _cover(span.attempt.folded_seq, max(coarsest, 1)):
        _descend(cache, span, coarsest, found, selected)
    _add(found, _within(cache.unfolded(span.attempt).get(span.name, ()), span.bounds))
    return found


def _cover(folded_seq: int, coarsest: int) -> Iterator[_Blocks]:
    """Yield the fewest blocks that cover all folded records, in record order."""
    start = 0
    for level in range(coarsest, 0, -1):
        end = folded_seq // blocks.length(level)
        if start < end:
            yield _Blocks(level, start, end)
        start = end * blocks.FAN


def _descend(cache: Cache, span: Span, coarsest: int, found: SpanPoints, selected: _Blocks) -> None:
    """Add the points of some blocks. If a block does not fit, read finer blocks instead, or its records if its level is 1.

    A block fits if it lies entirely within the bounds and is either fine enough or contains every point.
    """
    bounds, (level, start, end) = span.bounds, selected
    for row in store.list_blocks(
        cache.session, span.attempt.id, span.name, level, start=start, end=end, bounds=bounds
    ):
        points = unpack(row.points)
        is_inside = row.first_step >= bounds.start and row.last_step < bounds.end
        if is_inside and (level <= coarsest or len(points) == row.total):
            found.points += points
            found.count += row.total
        elif level == 1:
            records = cache.folded(span.attempt, row.number)
            _add(found, _within(records.get(span.name, ()), bounds))
        else:
            first = row.number * blocks.FAN
            finer = _Blocks(level - 1, first, first + blocks.FAN)
            _descend(cache, span, coarsest, found, finer)


def _add(found: SpanPoints, points: Sequence[Point]) -> None:
    found.points += points
    found.count += len(points)


def _within(points: Sequence[Point], bounds: Bounds) -> list[Point]:
    start, end = bounds.start, bounds.end
    return [point for point in points if start <= point[1] < end]
