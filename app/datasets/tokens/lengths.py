"""Computes the effects of any `training.max_length` from token counts: exactly at the measured lengths, by interpolation between them."""

from typing import NamedTuple

from contracts.measurement import LengthPoint, TokenCounts

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
    most = ADVISED_SHARE * counts.conversations
    for point in counts.points:
        if point.answers_cut + point.dropped_rows < most:
            return -(-point.max_length // _ADVISED_STEP) * _ADVISED_STEP
    return None


def _figures(point: LengthPoint) -> AtLength:
    return AtLength(
        point.max_length,
        point.rows_over,
        point.answers_cut,
        point.dropped_rows,
        point.tokens,
        point.trained_tokens,
    )
