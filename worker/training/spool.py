"""The spool: how long records.jsonl may grow. Nearly full, it takes only some of the metrics, and fewer and fewer.

Everything up to nine tenths; then one metric in ten, in twenty, in forty …, twice as sparse each time that half of the
room left is gone, so that the limit is never reached. Other records are few and always taken.
"""

import math
from dataclasses import dataclass

WHOLE_SHARE = 0.9
"""Share of the limit up to which every metric is taken."""
FIRST_STRIDE = 10
RESERVED_BYTES = 1000
"""For the last metric and the gap told before it."""


@dataclass(frozen=True)
class Gap:
    """Metrics left out in a row."""

    first_step: int
    last_step: int
    count: int

    @classmethod
    def of(cls, step: int) -> "Gap":
        """Return the gap of one step."""
        return cls(step, step, 1)

    def up_to(self, step: int) -> "Gap":
        """Return the gap with one more step."""
        return Gap(self.first_step, step, self.count + 1)


class Spool:
    """Counts what is written, and says which metrics are still taken. Without a limit, all of them."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._left_out = 0

    def written(self, size_bytes: int) -> None:
        """Note a record that was written."""
        self._bytes += size_bytes

    def admits_metric(self) -> bool:
        """Whether the next metric is taken."""
        if self._left_out + 1 < self._stride():
            self._left_out += 1
            return False
        self._left_out = 0
        return True

    def _stride(self) -> float:
        if self._limit_bytes is None or self._bytes < WHOLE_SHARE * self._limit_bytes:
            return 1
        left_bytes = self._limit_bytes - RESERVED_BYTES - self._bytes
        room = left_bytes / ((1 - WHOLE_SHARE) * self._limit_bytes)
        return math.inf if room <= 0 else FIRST_STRIDE * 2.0 ** math.floor(-math.log2(room))
