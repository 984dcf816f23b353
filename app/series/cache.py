"""A per-request cache that avoids reading or decoding a row twice."""

from collections.abc import Collection, Sequence
from functools import cached_property

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.series import blocks, store
from app.series.line import FAR, step_of_sample
from app.series.points import Point

PointsByName = dict[str, list[Point]]


class Cache:
    """The data of some attempts within one transaction. `only` restricts the series read from records."""

    def __init__(
        self, session: Session, attempts: Sequence[Attempt], only: Collection[str] | None = None
    ) -> None:
        self.session = session
        self._attempts = attempts
        self._only = only
        self._unfolded_rows: dict[str, Sequence[store.NumbersRow]] = {}
        self._unfolded: dict[str, PointsByName] = {}
        self._folded: dict[tuple[str, int], PointsByName] = {}
        self._samples: dict[str, PointsByName] = {}

    def unfolded_rows(self, attempt: Attempt) -> Sequence[store.NumbersRow]:
        """Return the stored records that are not in a block yet."""
        if attempt.id not in self._unfolded_rows:
            self._unfolded_rows[attempt.id] = store.list_numbers(
                self.session, attempt.id, attempt.folded_seq, attempt.acked_seq
            )
        return self._unfolded_rows[attempt.id]

    def unfolded(self, attempt: Attempt) -> PointsByName:
        """Return the points that are not in a block yet."""
        if attempt.id not in self._unfolded:
            self._unfolded[attempt.id] = self._by_series(self.unfolded_rows(attempt))
        return self._unfolded[attempt.id]

    def folded(self, attempt: Attempt, number: int) -> PointsByName:
        """Return the unthinned points of the level-1 block `number`."""
        key = (attempt.id, number)
        if key not in self._folded:
            first = number * blocks.LENGTH
            rows = store.list_numbers(self.session, attempt.id, first, first + blocks.LENGTH)
            self._folded[key] = self._by_series(rows)
        return self._folded[key]

    def samples(self, attempt: Attempt) -> PointsByName:
        """Return the points sampled by the supervisor."""
        if attempt.id not in self._samples:
            rows = store.list_samples(self.session, attempt.id, 0, FAR)
            self._samples[attempt.id] = blocks.by_series(
                (seq, step_of_sample(attempt, step), at, blocks.values_of_sample(data))
                for seq, step, at, data in rows
            )
        return self._samples[attempt.id]

    @cached_property
    def evaluated_from(self) -> dict[str, int]:
        """The lowest evaluated step of each attempt with evaluations."""
        return store.list_evaluated_from(self.session, [each.id for each in self._attempts])

    def _by_series(self, rows: Sequence[store.NumbersRow]) -> PointsByName:
        return blocks.by_series(
            (seq, step, at, blocks.values_of(kind, data, self._only))
            for seq, kind, step, at, data in rows
        )
