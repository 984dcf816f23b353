"""The spool: limits the size of records.jsonl. When nearly full, it accepts fewer and fewer metrics and evaluations.

It accepts everything up to nine tenths of the limit, and then one metric in ten. Each time half of the remaining space
is used, it accepts half as many (one in twenty, one in forty, …), so metrics never reach the limit. Evaluations are
thinned in the same way. Other records are few and always accepted, except the phases that recur with each evaluation.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

WHOLE_SHARE = 0.9
"""Share of the limit up to which every metric is accepted."""
FIRST_STRIDE = 10
RESERVED_BYTES = 1000
"""Space reserved for the last metric and the gap recorded before it."""

Figures = Literal["metric", "evaluation"]
"""Kinds of records that are thinned. Each has its own count: with a shared count, one of two alternating kinds could be lost."""


@dataclass(frozen=True)
class Gap:
    """Consecutive metrics and evaluations that were skipped."""

    first_step: int
    last_step: int
    count: int

    @classmethod
    def of(cls, step: int) -> "Gap":
        """Return a gap that consists of one skipped record."""
        return cls(step, step, 1)

    def with_one_more(self, step: int) -> "Gap":
        """Return the gap with one more skipped record."""
        return Gap(min(self.first_step, step), max(self.last_step, step), self.count + 1)


class Spool:
    """Counts the written bytes and decides which metrics and evaluations to accept. Without a limit, all are accepted."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._skipped: Counter[Figures] = Counter()

    def written(self, size_bytes: int) -> None:
        """Count a written record."""
        self._bytes += size_bytes

    @property
    def is_nearly_full(self) -> bool:
        """Whether the spool is so full that metrics and evaluations are thinned."""
        return self._limit_bytes is not None and self._bytes >= WHOLE_SHARE * self._limit_bytes

    def admits(self, kind: Figures) -> bool:
        """Return whether to accept the next metric or evaluation."""
        if self._skipped[kind] + 1 < self._stride():
            self._skipped[kind] += 1
            return False
        self._skipped[kind] = 0
        return True

    def _stride(self) -> float:
        if self._limit_bytes is None or not self.is_nearly_full:
            return 1
        left_bytes = self._limit_bytes - RESERVED_BYTES - self._bytes
        room = left_bytes / ((1 - WHOLE_SHARE) * self._limit_bytes)
        return math.inf if room <= 0 else FIRST_STRIDE * 2.0 ** math.floor(-math.log2(room))
