"""Computes the effects of any `training.max_length` from token counts: exactly at the measured lengths, by interpolation between them."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from contracts.errands.measurement import LengthPoint, TokenCounts

ADVISED_SHARE = 0.01
"""At the advised length, answers are cut or dropped in less than this share of the conversations."""
_ADVISED_STEP = 64


class AtLength(NamedTuple):
    """The conversations and tokens on which a job with this `training.max_length` trains, without documents."""

    max_length: float
    rows_over: float
    answers_cut: float
    dropped_rows: float
    tokens: float
    trained_tokens: float


def at_length(counts: TokenCounts, max_length: int) -> AtLength:
    """Return the effects of a length, which must be at least 1."""
    earlier = AtLength(0, counts.conversations, 0, counts.conversations, 0, 0)
    for point in counts.points:
        later = _figures(point)
        if later.max_length >= max_length:
            break
        earlier = later
    else:  # longer than every conversation
        return earlier._replace(max_length=max_length)
    share = (max_length - earlier.max_length) / (later.max_length - earlier.max_length)
    between = (one + share * (other - one) for one, other in zip(earlier, later, strict=True))
    return AtLength(*between)._replace(max_length=max_length)


def advise_length(counts: TokenCounts) -> int | None:
    """Return the shortest length, as a multiple of 64, that cuts or drops fewer than 1 % of the conversations.

    Returns None if no length does, because the chat template leaves nothing to train on.
    """
    lengths = [point.max_length for point in counts.points]
    return find_advised(counts.conversations, lengths, lambda length: at_length(counts, length))


def find_advised(
    conversations: float, lengths: Sequence[int], at: Callable[[int], AtLength]
) -> int | None:
    """Return the advised length of conversations with these figures. `lengths` are in ascending order."""
    most = ADVISED_SHARE * conversations

    def is_enough(length: int) -> bool:
        """Return whether few answers are cut; so it is for all longer ones."""
        found = at(length)
        return found.answers_cut + found.dropped_rows < most

    place = bisect_left(lengths, True, key=is_enough)
    if place == len(lengths):
        return None
    return -(-lengths[place] // _ADVISED_STEP) * _ADVISED_STEP


def _figures(point: LengthPoint) -> AtLength:
    return AtLength(
        point.max_length,
        point.rows_over,
        point.answers_cut,
        point.dropped_rows,
        point.tokens,
        point.trained_tokens,
    )
