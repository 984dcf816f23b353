"""Memory as a function of the micro-batch's tokens: a + bT + cT², through three traced points."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Bytes = a + bT + cT² for T tokens. c > 0 if attention keeps a dense mask."""

    a: float
    b: float
    c: float

    @classmethod
    def through(cls, points: Mapping[int, int]) -> "Curve":
        """Return the curve through points {tokens: bytes}: a parabola for three, a straight line for two."""
        degree = min(2, len(points) - 1)
        factors = np.polyfit([*points.keys()], [*points.values()], degree)
        c, b, a = [0.0] * (2 - degree) + [float(factor) for factor in factors]
        return cls(a, b, c)

    def at(self, tokens: int) -> int:
        """Return the bytes of a micro-batch."""
        return int(self.a + self.b * tokens + self.c * tokens * tokens)

    def largest(self, room: float, least: int, most: int) -> int:
        """Return the largest number of tokens from `least` to `most` that needs at most `room` bytes; `least` if none does."""
        low, high = least, max(least, most)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.at(middle) <= room else (low, middle - 1)
        return low
