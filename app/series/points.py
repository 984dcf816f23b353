"""Thins the points of a series on a fixed grid, and packs them as a block's bytes."""

import struct
from collections.abc import Iterable, Sequence
from math import isfinite

Point = tuple[int, int, float, float]
"""(seq, step, seconds since 1970, value). The record's seq determines the bucket into which thin() puts the point.

Points are plain tuples for speed: plots and syncs handle thousands of them.
"""


def thin(points: Iterable[Point], width: int) -> list[Point]:
    """Keep the smallest, the largest and the first non-finite point of each bucket of `width` records.

    Points must be in record order; among points with equal values, the earliest is kept. Thinning to a width and then
    to a multiple of that width yields the same points as thinning directly to the multiple.
    """
    kept: list[Point] = []
    bucket = -1
    low: Point | None = None
    high: Point | None = None
    non_finite: Point | None = None
    for point in points:
        seq, _, _, value = point
        number = (seq - 1) // width
        if number != bucket:
            kept += _in_order(low, high, non_finite)
            bucket, low, high, non_finite = number, None, None, None
        if not isfinite(value):
            non_finite = non_finite or point
        elif low is None or high is None:
            low = high = point
        elif value < low[3]:
            low = point
        elif value > high[3]:
            high = point
    return kept + _in_order(low, high, non_finite)


def with_ends(points: Sequence[Point], kept: list[Point]) -> list[Point]:
    """Return `kept` plus the first and last of `points`."""
    if points and kept[0] != points[0]:
        kept = [points[0], *kept]
    if points and kept[-1] != points[-1]:
        kept = [*kept, points[-1]]
    return kept


def weigh(points: Iterable[Point], width: int) -> int:
    """Return an upper bound on the number of points after thinning. Adding points never lowers it."""
    buckets = {(point[0] - 1) // width for point in points}
    non_finite = {(point[0] - 1) // width for point in points if not isfinite(point[3])}
    return 2 * len(buckets) + len(non_finite)


def pack(points: Sequence[Point]) -> bytes:
    """Return the points as four columns of little-endian 8-byte numbers."""
    seqs, steps, ats, values = zip(*points, strict=True)
    count = len(points)
    return struct.pack(f"<{count}q{count}q{count}d{count}d", *seqs, *steps, *ats, *values)


def unpack(data: bytes) -> list[Point]:
    """Return the points that were passed to pack()."""
    count = len(data) // 32
    numbers = struct.unpack(f"<{count}q{count}q{count}d{count}d", data)
    columns = (numbers[start : start + count] for start in range(0, 4 * count, count))
    return list(zip(*columns, strict=True))


def _in_order(*chosen: Point | None) -> list[Point]:
    return sorted({point for point in chosen if point is not None})
