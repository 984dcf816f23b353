import pytest

from app.errors.kinds import RangeNotSatisfiable
from app.http.headers.ranges import MOST_RANGES, requested_ranges


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-0", [(0, 0)]),
        ("bytes=2-", [(2, 9)]),
        ("BYTES = 2-3", [(2, 3)]),
        ("bytes=8-99", [(8, 9)]),
        ("bytes=9-" + "9" * 5000, [(9, 9)]),
        ("bytes=-3", [(7, 9)]),
        ("bytes=-99", [(0, 9)]),
        ("bytes=0-1, ,5-6,", [(0, 1), (5, 6)]),
        ("bytes=0-1,50-60", [(0, 1)]),
        ("bytes=000000000000000000000001-2", [(1, 2)]),
    ],
)
def test_byte_ranges_are_parsed_and_limited_to_the_file(
    header: str, ranges: list[tuple[int, int]]
) -> None:
    assert requested_ranges(header, 10) == ranges


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=abc",
        "bytes=1-x",
        "bytes=+1-2",
        "bytes=1_0-20",
        "bytes=٣-٤",
        "bytes=5-2",
        "bytes=0-1,x",
        "bytes:0-1",
        "lines=1-2",
        "bytes=" + ",".join(["0-0"] * (MOST_RANGES + 1)),
    ],
)
def test_an_invalid_range_header_is_ignored(header: str) -> None:
    assert requested_ranges(header, 10) is None


@pytest.mark.parametrize(
    ("header", "length"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_outside_the_file_is_rejected_with_the_file_size(header: str, length: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        requested_ranges(header, length)

    assert refused.value.headers["Content-Range"] == f"bytes */{length}"
