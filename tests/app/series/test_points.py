import math

from hypothesis import given
from hypothesis import strategies as st

from app.series.points import Point, pack, thin, unpack, weigh, with_ends

values = st.floats(allow_nan=True, allow_infinity=True, width=32)
widths = st.sampled_from([2, 4, 16, 64, 256])


def _points(pairs: list[tuple[int, float]]) -> list[Point]:
    points, seq = [], 0
    for gap, value in pairs:
        seq += gap
        points.append((seq, seq, float(seq), value))
    return points


curves = st.lists(st.tuples(st.integers(1, 4), values), max_size=300).map(_points)


def same(one: list[Point], other: list[Point]) -> bool:
    return repr(one) == repr(other)  # NaN is not equal to itself


@given(curves, widths)
def test_thinning_keeps_the_smallest_and_largest_point_of_each_bucket(
    points: list[Point], width: int
) -> None:
    kept = thin(points, width)

    for bucket in {(point[0] - 1) // width for point in points}:
        full = [p[3] for p in points if (p[0] - 1) // width == bucket and math.isfinite(p[3])]
        left = [p[3] for p in kept if (p[0] - 1) // width == bucket and math.isfinite(p[3])]
        if full:
            assert (min(left), max(left)) == (min(full), max(full))
    assert any(not math.isfinite(p[3]) for p in points) == any(
        not math.isfinite(p[3]) for p in kept
    )
    assert len(kept) <= weigh(points, width)


@given(curves, widths, st.integers(1, 6))
def test_thinning_in_two_steps_keeps_the_same_points_as_thinning_once(
    points: list[Point], width: int, doublings: int
) -> None:
    coarse = width * 2**doublings

    assert same(thin(thin(points, width), coarse), thin(points, coarse))
    ends = with_ends(points, thin(points, width))
    assert same(thin(ends, coarse), thin(points, coarse))


@given(curves, widths, st.integers(0, 300))
def test_adding_points_changes_no_finished_bucket(
    points: list[Point], width: int, some: int
) -> None:
    before = points[:some]
    if not before:
        return
    open_bucket = (before[-1][0] - 1) // width

    def finished(kept: list[Point]) -> list[Point]:
        return [point for point in kept if (point[0] - 1) // width < open_bucket]

    assert same(finished(thin(before, width)), finished(thin(points, width)))
    assert weigh(before, width) <= weigh(points, width)


@given(curves)
def test_packed_points_are_unpacked_unchanged(points: list[Point]) -> None:
    if points:
        assert same(unpack(pack(points)), points)
