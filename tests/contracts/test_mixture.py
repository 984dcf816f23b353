import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.run.mixture import held_out_of_each, used_rows

Sizes = st.lists(st.integers(1, 10_000), min_size=1, max_size=16)


@given(sizes=Sizes, share=st.floats(0, 1))
def test_held_out_rows_add_up_and_are_in_proportion(sizes: list[int], share: float) -> None:
    free = sum(sizes) - len(sizes)
    count = int(share * free)

    counts = held_out_of_each(sizes, count)

    assert counts is not None
    assert sum(counts) == count
    for held_out, size in zip(counts, sizes, strict=True):
        assert 0 <= held_out < size
        assert abs(held_out - (count * (size - 1) / free if free else 0)) <= 1
    assert held_out_of_each(sizes, free + 1) is None


@pytest.mark.parametrize(
    ("rows", "weight", "used"),
    [
        (10, 1.0, 10),
        (10, 2.0, 20),
        (10, 0.5, 5),
        (10, 1.5, 15),
        (5, 0.5, 3),
        (15, 0.1, 2),  # 1.5, although 15 × the double nearest to 0.1 is slightly more
        (25, 0.58, 15),  # 14.5, although 25 × 0.58 is slightly less
        (3, 0.001, 1),
        (0, 2.0, 0),
    ],
)
def test_the_rows_of_an_epoch_are_rounded_as_decimal_numbers(
    rows: int, weight: float, used: int
) -> None:
    assert used_rows(rows, weight) == used
