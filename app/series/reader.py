"""Samples a series of the line for a plot, keeping the smallest and largest points of each bucket of records.

Blocks are only an optimization: a plot read from blocks has exactly the same points as one read from records.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.series import blocks, store
from app.series.cache import Cache
from app.series.line import Bounds, Piece, cut
from app.series.points import Point, thin, weigh, with_ends
from app.series.spans import Span, SpanPoints, estimate_records, read_span


@dataclass
class Series:
    """The points of a series for a plot."""

    points: list[tuple[int, Point]] = field(default_factory=list)
    """(attempt number, point)."""
    count: int = 0
    """Number of points within the bounds before sampling."""
    width: int = 1
    """Records per bucket; 1 if every point is included."""


class Reader:
    """Reads series of some attempts in one transaction, using a shared cache."""

    def __init__(
        self, session: Session, attempts: Sequence[Attempt], only: Collection[str] | None = None
    ) -> None:
        self._attempts = attempts
        self._cache = Cache(session, attempts, only)

    def names(self) -> list[str]:
        """Return the names of all series of the attempts."""
        session, ids = self._cache.session, [attempt.id for attempt in self._attempts]
        found = store.list_names(session, ids)
        for attempt in self._attempts:
            for _, kind, _, _, data in self._cache.unfolded_rows(attempt):
                if kind == "eval" or not found.issuperset((*data["values"], blocks.PACE)):
                    found |= blocks.values_of(kind, data).keys()
        found |= store.list_sample_names(session, ids)
        return sorted(found)

    def read(self, name: str, bounds: Bounds, max_points: int) -> Series:
        """Return a series of the line, with at most `max_points` points."""
        pieces = cut(self._attempts, [self._first_step(name, each) for each in self._attempts])
        return self.read_pieces(name, pieces, bounds, max_points)

    def read_pieces(
        self, name: str, pieces: Sequence[Piece], bounds: Bounds, max_points: int
    ) -> Series:
        """Return a series of some pieces, with at most `max_points` points."""
        spans = [Span(name, piece.attempt, bounds.within(piece)) for piece in pieces]
        return _read_sampled(self._cache, spans, max_points)

    def _first_step(self, name: str, attempt: Attempt) -> int | None:
        """Return the step from which the attempt's points of a series replace those of earlier attempts."""
        if not name.startswith("eval_") or len(self._attempts) == 1:
            return attempt.first_step
        steps = [attempt.first_step, self._cache.evaluated_from.get(attempt.id)]
        return min((step for step in steps if step is not None), default=None)


def _read_sampled(cache: Cache, spans: Sequence[Span], max_points: int) -> Series:
    """Choose a block level, read the spans from it, and thin them to at most `max_points` points."""
    records = sum(estimate_records(cache, span) for span in spans)
    level = _level(_width(records, max_points))
    found = [read_span(cache, span, level) for span in spans]
    count = sum(each.count for each in found)
    if count <= max_points:
        exact = [
            each if each.is_whole else read_span(cache, span, 0)
            for span, each in zip(spans, found, strict=True)
        ]
        return Series(_numbered(spans, exact), count)
    width = _width(count, max_points)
    if width < blocks.width(level) and 2 * records <= blocks.width(level) * max_points:
        # Not all records contain this series, so the next finer level is still small enough and shows more detail.
        level -= 1
        found = [read_span(cache, span, level) for span in spans]
    kept, width = _thin_to(found, max(width, blocks.width(level)), max_points)
    return Series(_numbered(spans, kept), count, width)


def _thin_to(
    found: Sequence[SpanPoints], width: int, max_points: int
) -> tuple[list[SpanPoints], int]:
    """Thin to buckets of `width` records, doubling the width until at most `max_points` remain. Also return the final width."""
    kept = [SpanPoints(thin(each.points, width), each.count) for each in found]
    while 4 + sum(weigh(each.points, width) for each in kept) > max_points:
        width *= 2
        kept = [SpanPoints(thin(each.points, width), each.count) for each in kept]
    _restore_ends(found, kept)
    return kept, width


def _restore_ends(found: Sequence[SpanPoints], kept: Sequence[SpanPoints]) -> None:
    """Restore the end points of the first and last spans that have points."""
    pairs = [(full, thinned) for full, thinned in zip(found, kept, strict=True) if full.points]
    for full, thinned in itertools.islice(pairs, 0, None, max(1, len(pairs) - 1)):
        thinned.points = with_ends(full.points, thinned.points)


def _width(count: int, max_points: int) -> int:
    """Return the smallest power-of-two bucket width at which `count` records yield at most `max_points` points, two per bucket."""
    width = 2
    while width * max_points < 2 * count:
        width *= 2
    return width


def _level(width: int) -> int:
    """Return the coarsest level whose buckets are no wider than `width`."""
    level = 0
    while blocks.width(level + 1) <= width:
        level += 1
    return level


def _numbered(spans: Sequence[Span], found: Sequence[SpanPoints]) -> list[tuple[int, Point]]:
    return [
        (span.attempt.number, point)
        for span, each in zip(spans, found, strict=True)
        for point in each.points
    ]
