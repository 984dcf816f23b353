"""The line across a job's attempts: which attempt provides which steps, and readers' positions on the line.

The line ends with the newest attempt that has trained. The steps before it come from the attempt whose checkpoint it
resumed from, and so on back to the first step. Attempts outside this chain are ghosts, for example an attempt that
trained offline while its job continued on another worker. An attempt that has not recorded a step yet replaces nothing
and is omitted, unless it is older than all attempts that have trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.db.tables import Attempt
from app.http.paging import decode_cursor, encode_cursor

FAR = 2**62
"""Greater than any step."""


@dataclass(frozen=True)
class Place:
    """A reader's position: the attempt, its last record and sample read, and the last event read."""

    attempt: int = 0
    seq: int = 0
    sample: int = 0
    event: int = 0

    @classmethod
    def decode(cls, cursor: str | None, param: str) -> Self:
        """Decode a cursor; None means the start. Raises BadCursor."""
        return cls(*decode_cursor(cursor, 4, param)) if cursor else cls()

    def covers(self, other: "Place") -> bool:
        """Return whether a reader at this place has received everything up to `other`."""
        mine, others = (self.attempt, self.seq), (other.attempt, other.seq)
        is_as_far = mine > others or (mine == others and self.sample >= other.sample)
        return is_as_far and self.event >= other.event

    def encode(self) -> str:
        """Return the cursor."""
        return encode_cursor(self.attempt, self.seq, self.sample, self.event)


@dataclass(frozen=True)
class Piece:
    """An attempt on the line, and the step from which a newer attempt replaces it, or None."""

    attempt: Attempt
    before: int | None


@dataclass(frozen=True)
class Bounds:
    """A range of steps; `end` is exclusive."""

    start: int = 0
    end: int = FAR

    def within(self, piece: Piece) -> Self:
        """Return the part of the range that the piece provides."""
        if piece.before is None or piece.before >= self.end:
            return self
        return type(self)(self.start, piece.before)


def where_on(pieces: Sequence[Piece], place: Place) -> Place:
    """Return the place to continue from: the start if the reader's attempt is no longer on the line."""
    if place.attempt == 0 or any(piece.attempt.number == place.attempt for piece in pieces):
        return place
    return Place(event=place.event)


def list_pieces(attempts: Sequence[Attempt]) -> list[Piece]:
    """Return the attempts on the line, oldest first."""
    chosen = on_line(attempts)
    return cut(chosen, [attempt.first_step for attempt in chosen])


def step_before(attempt: Attempt) -> int:
    """Return the step after which the attempt's points replace those of earlier attempts."""
    return (attempt.first_step or 1) - 1


def step_of_sample(attempt: Attempt, step: int | None) -> int:
    """Return the step at which to plot a sample. Samples taken before the attempt's first step are plotted one step before it."""
    return max(0, step_before(attempt)) if step is None else step


def usable_steps(attempts: Sequence[Attempt]) -> list[tuple[Attempt, int | None]]:
    """Return each attempt with the last step from which a new attempt may resume; None means no limit.

    Attempts after the newest one known to have trained have no limit, because they may have trained offline.
    """
    befores = {piece.attempt.number: piece.before for piece in list_pieces(attempts)}
    newest = max((a.number for a in attempts if a.first_step is not None), default=0)
    usable: list[tuple[Attempt, int | None]] = []
    for attempt in attempts:
        before = None if attempt.number > newest else befores.get(attempt.number, 1)
        usable.append((attempt, None if before is None else before - 1))
    return usable


def on_line(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts that are on the line. Both the argument and the result are ordered oldest first."""
    trained = [attempt for attempt in attempts if attempt.first_step is not None]
    if not trained:
        return list(attempts)
    chain = [trained[-1]]
    while (parent := _parent(chain[0], attempts)) is not None:
        chain.insert(0, parent)
    return [attempt for attempt in attempts if attempt.number < trained[0].number] + chain


def _parent(attempt: Attempt, attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that this one continues: the recorded one, else the newest attempt that began at an earlier step."""
    earlier = {each.number: each for each in attempts if each.number < attempt.number}
    recorded = earlier.get(attempt.resumed_from or 0)
    while recorded is not None and recorded.first_step is None:
        recorded = earlier.get(recorded.resumed_from or 0)
    if recorded is not None:
        return recorded
    first = attempt.first_step or 0
    fitting = [e for e in earlier.values() if e.first_step is not None and e.first_step < first]
    return fitting[-1] if fitting else None


def cut(attempts: Sequence[Attempt], first_steps: Sequence[int | None]) -> list[Piece]:
    """Return the attempts as pieces. `first_steps`: the steps from which they replace earlier attempts."""
    pieces: list[Piece] = []
    before: int | None = None
    for attempt, first_step in zip(reversed(attempts), reversed(first_steps), strict=True):
        pieces.append(Piece(attempt, before))
        if first_step is not None:
            before = first_step if before is None else min(before, first_step)
    return pieces[::-1]
