"""The clean line over all attempts: which of them hold which steps, and where a reader stands on it.

The newest attempt's points win from the first step that it trained. An attempt that has trained nothing yet does not
replace anything and is left out, unless nothing was trained before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.models import Attempt
from app.pages import decode_cursor, encode_cursor


@dataclass(frozen=True)
class Place:
    """Where a reader stands: in which attempt, after which record and sample of it, and after which event."""

    attempt: int = 0
    seq: int = 0
    sample: int = 0
    event: int = 0

    @classmethod
    def decode(cls, cursor: str | None, param: str) -> Self:
        """Read a cursor; the beginning if there is none. Raises BadCursor."""
        return cls(*decode_cursor(cursor, 4, param)) if cursor else cls()

    def covers(self, other: "Place") -> bool:
        """Whether a reader here has everything that one at the other place has."""
        mine, others = (self.attempt, self.seq), (other.attempt, other.seq)
        is_on = mine > others or (mine == others and self.sample >= other.sample)
        return is_on and self.event >= other.event

    def encode(self) -> str:
        """Return the cursor."""
        return encode_cursor(self.attempt, self.seq, self.sample, self.event)


@dataclass(frozen=True)
class Piece:
    """An attempt on the line, with the step from which a newer one replaces it; None if none does."""

    attempt: Attempt
    before: int | None


def list_pieces(attempts: Sequence[Attempt]) -> list[Piece]:
    """Return the attempts on the line, first to newest."""
    return cut(on_line(attempts), [attempt.first_step for attempt in on_line(attempts)])


def on_line(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts that have a part in the line, first to newest."""
    chosen: list[Attempt] = []
    has_trained = False
    for attempt in attempts:
        if attempt.first_step is not None or not has_trained:
            chosen.append(attempt)
        has_trained = has_trained or attempt.first_step is not None
    return chosen


def cut(attempts: Sequence[Attempt], first_steps: Sequence[int | None]) -> list[Piece]:
    """Return attempts as pieces, given from which step each replaces the ones before it."""
    pieces: list[Piece] = []
    before: int | None = None
    for attempt, first_step in zip(reversed(attempts), reversed(first_steps), strict=True):
        pieces.append(Piece(attempt, before))
        if first_step is not None:
            before = first_step if before is None else min(before, first_step)
    return pieces[::-1]
