"""Dividing samples among ranks: complete, without overlap, balanced, and the same on every rank."""

from hypothesis import given
from hypothesis import strategies as st

from worker.training.ranks.shares import divide

LENGTHS = st.lists(st.integers(1, 500), max_size=60)


@given(LENGTHS, st.integers(1, 8))
def test_each_sample_belongs_to_exactly_one_rank(lengths: list[int], count: int) -> None:
    shares = divide([range(length) for length in lengths], count)

    assert len(shares) == count
    assert sorted(row for share in shares for row in share) == list(range(len(lengths)))
    assert all(share == sorted(share) for share in shares)


@given(LENGTHS, st.integers(1, 8))
def test_the_token_counts_of_two_ranks_differ_by_at_most_the_longest_sample(
    lengths: list[int], count: int
) -> None:
    shares = divide([range(length) for length in lengths], count)

    tokens = [sum(lengths[row] for row in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(lengths, default=0)


def test_with_fewer_samples_than_ranks_some_ranks_get_none() -> None:
    assert divide(["aa", "bbb"], 3) == [[1], [0], []]
