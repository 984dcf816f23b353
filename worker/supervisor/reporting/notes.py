"""The supervisor's own messages for the job's log: numbered notes, kept until the server acknowledges them."""

import threading

from contracts.attempt import Note
from contracts.record import LogLevel

BATCH = 100
"""Maximum number of notes per sync."""


class Notes:
    """The notes of one attempt. Shared by its threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pending: list[Note] = []
        self._last = 0

    def add(self, code: str, level: LogLevel = "info", **figures: str | int | float | None) -> None:
        """Add a note; the server turns `code` and `figures` into text."""
        with self._guard:
            self._last += 1
            self._pending.append(Note(number=self._last, code=code, level=level, figures=figures))

    def pending(self) -> list[Note]:
        """Return the oldest notes that the server does not have yet, at most 100."""
        with self._guard:
            return self._pending[:BATCH]

    def acknowledge(self, number: int) -> None:
        """Drop the notes up to this number, which the server has."""
        with self._guard:
            self._pending = [note for note in self._pending if note.number > number]
