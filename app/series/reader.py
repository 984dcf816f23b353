"""A series over the clean line, sampled for a plot: range first, then the smallest and largest point of each bucket.

What is drawn from blocks and what is drawn from records is the same, point by point; blocks only make it quick.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.series import blocks, store
from app.series.line import Piece, cut, step_before
from app.series.points import Point, thin, unpack, weigh, with_ends

FAR = 2**62
"""Beyond every step."""


@dataclass(frozen=True)
class Bounds:
    """Steps wanted, from the first to before the second."""

    start: int = 0
    end: int = FAR

    def within(self, piece: Piece) -> tuple[int, int]:
        """Return the bounds within a piece."""
        return self.start, min(self.end, FAR if piece.before is None else piece.before)


@dataclass
class Series:
    """What is drawn of a series: points with the attempt of each."""

    points: list[tuple[int, Point]] = field(default_factory=list)
    """(number of the attempt, point)."""
    count: int = 0
    """Points within the bounds, before sampling."""
    width: int = 1
    """Records of a bucket; 1 if every point is there."""


@dataclass
class _Found:
    points: list[Point]
    count: int

    @property
    def is_whole(self) -> bool:
        return len(self.points) == self.count


@dataclass(frozen=True)
class _Search:
    name: str
    attempt: Attempt
    bounds: tuple[int, int]
    coarsest: int
    """Level of the coarsest blocks that will do; 0 wants every point."""


class Reader:
    """Reads series of some attempts in one transaction; records are read and decoded once for all of them."""

    def __init__(
        self, session: Session, attempts: Sequence[Attempt], only: Collection[str] | None = None
    ) -> None:
        self._session = session
        self._attempts = attempts
        self._only = only
        self._tails: dict[str, Sequence[store.NumbersRow]] = {}
        self._records: dict[tuple[str, int], dict[str, list[Point]]] = {}
        self._samples: dict[str, dict[str, list[Point]]] = {}
        self._evaluated_from: dict[str, int] | None = None

    def names(self) -> list[str]:
        """Return the names of all series that the attempts hold."""
        found = store.list_names(self._session, [attempt.id for attempt in self._attempts])
        for attempt in self._attempts:
            for _, kind, _, _, data in self._unfolded_rows(attempt):
                if kind == "eval" or not found.issuperset((*data["values"], blocks.PACE)):
                    found |= blocks.values_of(kind, data).keys()
        found |= store.list_sample_names(self._session, [attempt.id for attempt in self._attempts])
        return sorted(found)

    def read(self, name: str, bounds: Bounds, max_points: int) -> Series:
        """Return a series of the clean line, of at most max_points points."""
        pieces = cut(self._attempts, [self._first_step(name, each) for each in self._attempts])
        return self.read_pieces(name, pieces, bounds, max_points)

    def read_pieces(
        self, name: str, pieces: Sequence[Piece], bounds: Bounds, max_points: int
    ) -> Series:
        """Return a series of some pieces, of at most max_points points."""
        span = sum(self._span(name, piece, bounds.within(piece)) for piece in pieces)
        level = _level(_width(span, max_points))
        found = [self._gather(name, piece, bounds.within(piece), level) for piece in pieces]
        count = sum(each.count for each in found)
        if count <= max_points:
            exact = [
                each if each.is_whole else self._gather(name, piece, bounds.within(piece), 0)
                for piece, each in zip(pieces, found, strict=True)
            ]
            return Series(_numbered(pieces, exact), count, 1)
        width = _width(count, max_points)
        if width < blocks.width(level) and 2 * span <= blocks.width(level) * max_points:
            # Not every record carries the series. The next finer blocks are few enough, and show more of it.
            level -= 1
            found = [self._gather(name, piece, bounds.within(piece), level) for piece in pieces]
        width = max(width, blocks.width(level))
        kept = [_Found(thin(each.points, width), each.count) for each in found]
        while 4 + sum(weigh(each.points, width) for each in kept) > max_points:
            width *= 2
            kept = [_Found(thin(each.points, width), each.count) for each in kept]
        _restore_ends(found, kept)
        return Series(_numbered(pieces, kept), count, width)

    def _first_step(self, name: str, attempt: Attempt) -> int | None:
        """Return the step from which the attempt's points of a series replace those of earlier attempts."""
        if not name.startswith("eval_") or len(self._attempts) == 1:
            return attempt.first_step
        if self._evaluated_from is None:
            self._evaluated_from = store.list_evaluated_from(
                self._session, [each.id for each in self._attempts]
            )
        steps = [attempt.first_step, self._evaluated_from.get(attempt.id)]
        return min((step for step in steps if step is not None), default=None)

    def _span(self, name: str, piece: Piece, bounds: tuple[int, int]) -> int:
        """Return about how many records of a piece lie within bounds."""
        attempt = piece.attempt
        if name.startswith(blocks.SYSTEM):
            return 0
        if bounds == (0, FAR):
            return attempt.acked_seq
        first, last = store.find_span(self._session, attempt.id, bounds)
        return (last - first + 1) * blocks.LENGTH + attempt.acked_seq - attempt.folded_seq

    def _gather(self, name: str, piece: Piece, bounds: tuple[int, int], level: int) -> _Found:
        """Return a piece's points within bounds, at most as coarse as the level; level 0 is every point."""
        attempt = piece.attempt
        if name.startswith(blocks.SYSTEM):
            points = _within(self._sampled(attempt).get(name, ()), bounds)
            return _Found(points, len(points))
        found = _Found([], 0)
        search = _Search(name, attempt, bounds, level)
        start = 0
        for each in range(max(level, 1), 0, -1):
            end = attempt.folded_seq // blocks.length(each)
            self._add_blocks(found, search, each, start, end)
            start = end * blocks.FAN
        points = _within(self._unfolded(attempt).get(name, ()), bounds)
        return _Found(found.points + points, found.count + len(points))

    def _add_blocks(self, found: _Found, search: _Search, level: int, start: int, end: int) -> None:
        """Add the points of a level's blocks; of those that are too coarse or cross a bound, those beneath."""
        if start >= end:
            return
        bounds, attempt = search.bounds, search.attempt
        for row in store.list_blocks(
            self._session, attempt.id, search.name, level, start=start, end=end, bounds=bounds
        ):
            points = unpack(row.points)
            is_inside = row.first_step >= bounds[0] and row.last_step < bounds[1]
            if is_inside and (level <= search.coarsest or len(points) == row.total):
                found.points += points
                found.count += row.total
            elif level == 1:
                points = _within(self._block(attempt, row.number).get(search.name, ()), bounds)
                found.points += points
                found.count += len(points)
            else:
                inner = row.number * blocks.FAN
                self._add_blocks(found, search, level - 1, inner, inner + blocks.FAN)

    def _unfolded_rows(self, attempt: Attempt) -> Sequence[store.NumbersRow]:
        if attempt.id not in self._tails:
            self._tails[attempt.id] = store.list_numbers(
                self._session, attempt.id, attempt.folded_seq, attempt.acked_seq
            )
        return self._tails[attempt.id]

    def _unfolded(self, attempt: Attempt) -> dict[str, list[Point]]:
        key = (attempt.id, -1)
        if key not in self._records:
            self._records[key] = self._by_series(self._unfolded_rows(attempt))
        return self._records[key]

    def _block(self, attempt: Attempt, number: int) -> dict[str, list[Point]]:
        key = (attempt.id, number)
        if key not in self._records:
            first = number * blocks.LENGTH
            rows = store.list_numbers(self._session, attempt.id, first, first + blocks.LENGTH)
            self._records[key] = self._by_series(rows)
        return self._records[key]

    def _by_series(self, rows: Sequence[store.NumbersRow]) -> dict[str, list[Point]]:
        return blocks.by_series(
            (seq, step, at, blocks.values_of(kind, data, self._only))
            for seq, kind, step, at, data in rows
        )

    def _sampled(self, attempt: Attempt) -> dict[str, list[Point]]:
        if attempt.id not in self._samples:
            rows = store.list_samples(self._session, attempt.id, 0, FAR)
            self._samples[attempt.id] = blocks.by_series(
                (seq, sample_step(attempt, step), at, sample_values(data))
                for seq, step, at, data in rows
            )
        return self._samples[attempt.id]


def sample_step(attempt: Attempt, step: int | None) -> int:
    """Return the step at which a sample is drawn; one from before the first step stands just before that."""
    return max(0, step_before(attempt)) if step is None else step


def sample_values(data: dict[str, float]) -> dict[str, float]:
    """Return the values of a stored sample by series."""
    return {name: float(value) for name, value in data.items()}


def _width(count: int, max_points: int) -> int:
    """Return how wide buckets must be at least that keep two of so many records each."""
    width = 2
    while width * max_points < 2 * count:
        width *= 2
    return width


def _level(width: int) -> int:
    """Return the coarsest level whose buckets are no wider."""
    level = 0
    while blocks.width(level + 1) <= width:
        level += 1
    return level


def _within(points: Sequence[Point], bounds: tuple[int, int]) -> list[Point]:
    return [point for point in points if bounds[0] <= point[1] < bounds[1]]


def _numbered(pieces: Sequence[Piece], found: Sequence[_Found]) -> list[tuple[int, Point]]:
    return [
        (piece.attempt.number, point)
        for piece, each in zip(pieces, found, strict=True)
        for point in each.points
    ]


def _restore_ends(found: Sequence[_Found], kept: Sequence[_Found]) -> None:
    """Put the first and the last point of all pieces back."""
    pairs = [(full, thinned) for full, thinned in zip(found, kept, strict=True) if full.points]
    for full, thinned in itertools.islice(pairs, 0, None, max(1, len(pairs) - 1)):
        thinned.points = with_ends(full.points, thinned.points)
