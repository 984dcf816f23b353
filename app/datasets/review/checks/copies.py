"""Finds rows that repeat an earlier row, apart from case, whitespace and the form of characters."""

from array import array
from collections.abc import Iterable

from contracts.dataset.comparison import hash_texts, normalize

MOST_REMEMBERED = 1_000_000
"""Rows are compared with at most this many different earlier rows, to bound memory to about 200 MB."""
HASH_BYTES = 8


class Copies:
    """The hashes of a dataset's different rows."""

    def __init__(self) -> None:
        self._first_rows: dict[int, int] = {}
        self._repeated: set[int] = set()
        self._copies = 0
        self.is_complete = True
        """False if there are more different rows than are remembered."""

    def add(self, row: int, texts: Iterable[tuple[str, str]]) -> int | None:
        """Count a row; return the earlier row that it repeats, or None."""
        same = [(role, normalize(text)) for role, text in texts]
        key = int.from_bytes(hash_texts(same)[:HASH_BYTES], "little")
        first = self._first_rows.get(key)
        if first is not None:
            self._repeated.add(key)
            self._copies += 1
        elif len(self._first_rows) < MOST_REMEMBERED:
            self._first_rows[key] = row
        else:
            self.is_complete = False
        return first

    @property
    def rows_with_copies(self) -> int:
        """Number of rows that occur more than once."""
        return self._copies + len(self._repeated)

    def dump(self) -> bytes:
        """Return the hashes of the different rows, 8 bytes each, in native byte order."""
        return array("Q", self._first_rows).tobytes()


def count_common(one: bytes, other: bytes) -> int:
    """Return how many hashes two dumps have in common."""
    smaller, larger = sorted((_load(one), _load(other)), key=len)
    return len(set(smaller).intersection(larger))


def _load(dump: bytes) -> "array[int]":
    hashes = array("Q")
    hashes.frombytes(dump)
    return hashes
