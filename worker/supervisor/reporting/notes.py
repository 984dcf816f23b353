"""What the supervisor itself has to tell people: numbered notes that wait until the server has them."""

import threading

from contracts.attempt import Note
from contracts.record import LogLevel

BATCH = 100
"""Notes of one sync at most."""


class Notes:
    """The notes of one attempt. Shared by the threads that work for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pending: list[Note] = []
        self._last = 0

    def add(self, code: str, level: LogLevel = "info", **figures: str | int | float | None) -> None:
        """Tell something: `code` and figures are worded by the server."""
        with self._guard:
            self._last += 1
            self._pending.append(Note(number=self._last, code=code, level=level, figures=figures))

    def pending(self) -> list[Note]:
        """Return the oldest notes that the server does not have."""
        with self._guard:
            return self._pending[:BATCH]

    def acknowledge(self, number: int) -> None:
        """Drop what the server has."""
        with self._guard:
            self._pending = [note for note in self._pending if note.number > number]
