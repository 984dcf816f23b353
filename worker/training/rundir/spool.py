"""The spool: how long records.jsonl may grow. Nearly full, it takes only some of the figures, and fewer and fewer.

Everything up to nine tenths; then one metric in ten, in twenty, in forty …, twice as sparse each time that half of the
room left is gone, so that the limit is never reached by them, and evaluations in the same way. Other records are few
and always taken; those that come with each evaluation are not told any more.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

WHOLE_SHARE = 0.9
"""Share of the limit up to which every metric is taken."""
FIRST_STRIDE = 10
RESERVED_BYTES = 1000
"""For the last metric and the gap told before it."""

Figures = Literal["metric", "evaluation"]
"""What is thinned, each kind by a count of its own: they come in turns, and one count would take but one of them."""


@dataclass(frozen=True)
class Gap:
    """Metrics and evaluations left out in a row."""

    first_step: int
    last_step: int
    count: int

    @classmethod
    def of(cls, step: int) -> "Gap":
        """Return the gap of one step."""
        return cls(step, step, 1)

    def with_one_more(self, step: int) -> "Gap":
        """Return the gap with one more left out."""
        return Gap(min(self.first_step, step), max(self.last_step, step), self.count + 1)


class Spool:
    """Counts what is written, and says which figures are still taken. Without a limit, all of them."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._left_out: Counter[Figures] = Counter()

    def written(self, size_bytes: int) -> None:
        """Note a record that was written."""
        self._bytes += size_bytes

    @property
    def is_nearly_full(self) -> bool:
        """Whether figures are thinned."""
        return self._limit_bytes is not None and self._bytes >= WHOLE_SHARE * self._limit_bytes

    def admits(self, kind: Figures) -> bool:
        """Whether the next metric, or the next evaluation, is taken."""
        if self._left_out[kind] + 1 < self._stride():
            self._left_out[kind] += 1
            return False
        self._left_out[kind] = 0
        return True

    def _stride(self) -> float:
        if self._limit_bytes is None or not self.is_nearly_full:
            return 1
        left_bytes = self._limit_bytes - RESERVED_BYTES - self._bytes
        room = left_bytes / ((1 - WHOLE_SHARE) * self._limit_bytes)
        return math.inf if room <= 0 else FIRST_STRIDE * 2.0 ** math.floor(-math.log2(room))
