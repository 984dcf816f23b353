"""The clean line over all attempts: which of them hold which steps, and where a reader stands on it.

It is the newest attempt that has trained, before its first step the attempt whose checkpoint that went on from, and so on
back to the first step. Attempts beside this chain, such as one that trained unheard while its job went on elsewhere, are
ghosts. One that has trained nothing yet does not replace anything and is left out, unless nothing was trained before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.db.tables import Attempt
from app.http.paging import decode_cursor, encode_cursor

FAR = 2**62
"""Beyond every step."""


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


@dataclass(frozen=True)
class Bounds:
    """A range of steps, from `start` to before `end`."""

    start: int = 0
    end: int = FAR

    def within(self, piece: Piece) -> Self:
        """Return the part of the range that a piece has on the line."""
        if piece.before is None or piece.before >= self.end:
            return self
        return type(self)(self.start, piece.before)


def where_on(pieces: Sequence[Piece], place: Place) -> Place:
    """Return where a reader at a place goes on; whoever read an attempt that is now beside the line begins again."""
    if place.attempt == 0 or any(piece.attempt.number == place.attempt for piece in pieces):
        return place
    return Place(event=place.event)


def list_pieces(attempts: Sequence[Attempt]) -> list[Piece]:
    """Return the attempts on the line, first to newest."""
    chosen = on_line(attempts)
    return cut(chosen, [attempt.first_step for attempt in chosen])


def step_before(attempt: Attempt) -> int:
    """Return the step beyond which an attempt's points replace those of earlier ones."""
    return (attempt.first_step or 1) - 1


def step_of_sample(attempt: Attempt, step: int | None) -> int:
    """Return the step at which to plot a sample; a sample from before the first step gets the step before that."""
    return max(0, step_before(attempt)) if step is None else step


def usable_steps(attempts: Sequence[Attempt]) -> list[tuple[Attempt, int | None]]:
    """Return each attempt with the last step of its line that a new one may go on from; None: whatever it has.

    Those after the newest that is known to have trained may have trained unheard, and hold more.
    """
    befores = {piece.attempt.number: piece.before for piece in list_pieces(attempts)}
    newest = max((a.number for a in attempts if a.first_step is not None), default=0)
    usable: list[tuple[Attempt, int | None]] = []
    for attempt in attempts:
        before = None if attempt.number > newest else befores.get(attempt.number, 1)
        usable.append((attempt, None if before is None else before - 1))
    return usable


def on_line(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts that have a part in the line, first to newest, given all of a job in that order."""
    trained = [attempt for attempt in attempts if attempt.first_step is not None]
    if not trained:
        return list(attempts)
    chain = [trained[-1]]
    while (parent := _parent(chain[0], attempts)) is not None:
        chain.insert(0, parent)
    return [attempt for attempt in attempts if attempt.number < trained[0].number] + chain


def _parent(attempt: Attempt, attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that trained what this one went on from; if nobody said so, the newest that it can be."""
    earlier = {each.number: each for each in attempts if each.number < attempt.number}
    said = earlier.get(attempt.resumed_from or 0)
    while said is not None and said.first_step is None:
        said = earlier.get(said.resumed_from or 0)
    if said is not None:
        return said
    first = attempt.first_step or 0
    fitting = [e for e in earlier.values() if e.first_step is not None and e.first_step < first]
    return fitting[-1] if fitting else None


def cut(attempts: Sequence[Attempt], first_steps: Sequence[int | None]) -> list[Piece]:
    """Return attempts as pieces, given from which step each replaces the ones before it."""
    pieces: list[Piece] = []
    before: int | None = None
    for attempt, first_step in zip(reversed(attempts), reversed(first_steps), strict=True):
        pieces.append(Piece(attempt, before))
        if first_step is not None:
            before = first_step if before is None else min(before, first_step)
    return pieces[::-1]
