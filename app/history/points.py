"""Points of a series: how they are thinned on a grid that does not move, and how a block of them is packed."""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """One value of a series."""

    seq: int
    """Number of its record within the attempt; the grid lies over it."""
    step: int
    at: float
    """Seconds since 1970."""
    value: float


def thin(points: Iterable[Point], width: int) -> list[Point]:
    """Keep of each bucket of `width` records the smallest, the largest and the first non-finite point.

    Points come in the order of their records; of equal ones the earliest is kept. Thinning twice, to a width and
    then to a multiple of it, is the same as thinning once to the latter.
    """
    kept: list[Point] = []
    bucket = -1
    chosen: dict[str, Point] = {}
    for point in points:
        number = (point.seq - 1) // width
        if number != bucket:
            kept += _in_order(chosen)
            bucket, chosen = number, {}
        if not math.isfinite(point.value):
            chosen.setdefault("odd", point)
        elif "low" not in chosen:
            chosen["low"] = chosen["high"] = point
        elif point.value < chosen["low"].value:
            chosen["low"] = point
        elif point.value > chosen["high"].value:
            chosen["high"] = point
    return kept + _in_order(chosen)


def with_ends(points: Sequence[Point], kept: list[Point]) -> list[Point]:
    """Return what was kept of the points with their first and last one."""
    if points and kept[0] != points[0]:
        kept = [points[0], *kept]
    if points and kept[-1] != points[-1]:
        kept = [*kept, points[-1]]
    return kept


def weigh(points: Iterable[Point], width: int) -> int:
    """Return how many points thinning may keep at most: it only grows as points are added."""
    buckets = {(point.seq - 1) // width for point in points}
    odd = {(point.seq - 1) // width for point in points if not math.isfinite(point.value)}
    return 2 * len(buckets) + len(odd)


def pack(points: Sequence[Point]) -> bytes:
    """Return the points as columns of little-endian numbers of 8 bytes."""
    seqs, steps, ats, values = zip(*points, strict=True)
    count = len(points)
    return struct.pack(f"<{count}q{count}q{count}d{count}d", *seqs, *steps, *ats, *values)


def unpack(data: bytes) -> list[Point]:
    """Return what pack() was given."""
    count = len(data) // 32
    numbers = struct.unpack(f"<{count}q{count}q{count}d{count}d", data)
    columns = (numbers[start : start + count] for start in range(0, 4 * count, count))
    return list(map(Point._make, zip(*columns, strict=True)))


def _in_order(chosen: dict[str, Point]) -> list[Point]:
    return sorted(set(chosen.values()))
