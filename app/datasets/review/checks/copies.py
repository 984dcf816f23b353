"""Finds rows that repeat an earlier row, ignoring case, whitespace and Unicode normalization."""

from array import array
from collections.abc import Collection, Iterable

from contracts.dataset.comparison import hash_texts, normalize

MOST_REMEMBERED = 1_000_000
"""Rows are compared with at most this many distinct earlier rows, which limits memory to about 200 MB."""
MOST_STORED = 200_000
"""Maximum number of hashes in a dump, which limits its size and the time for a comparison."""
HASH_BYTES = 8


class Copies:
    """The hashes of a dataset's distinct rows."""

    def __init__(self) -> None:
        self._first_rows: dict[int, int] = {}
        self._repeated: set[int] = set()
        self._copies = 0
        self.is_complete = True
        """False if there are more distinct rows than the limit."""

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
        """Return hashes of the distinct rows. If there are many, return only half, a quarter, an eighth, … of them.

        The format is an array of 64-bit integers in native byte order, of which the first is the sampling rate.
        """
        hashes: Collection[int] = self._first_rows
        rate = 1
        while len(hashes) > MOST_STORED:
            rate *= 2
            hashes = [key for key in hashes if key % rate == 0]
        return array("Q", [rate, *hashes]).tobytes()


def merge(dumps: Iterable[bytes]) -> bytes:
    """Combine the dumps of several datasets into one."""
    loaded = [_load(dump) for dump in dumps]
    rate = max(each for each, _ in loaded)
    hashes = {key for _, keys in loaded for key in keys if key % rate == 0}
    return array("Q", [rate, *hashes]).tobytes()


def count_common(one: bytes, other: bytes) -> tuple[int, bool]:
    """Return how many distinct rows two datasets have in common according to their dumps, and whether that is exact."""
    (one_rate, ones), (other_rate, others) = _load(one), _load(other)
    rate = max(one_rate, other_rate)
    fewer, more = sorted((ones, others), key=len)
    # A sample contains every hash that is divisible by its rate.
    kept = {key for key in fewer if key % rate == 0}
    return rate * len(kept.intersection(more)), rate == 1


def _load(dump: bytes) -> "tuple[int, array[int]]":
    hashes = array("Q")
    hashes.frombytes(dump)
    return hashes.pop(0), hashes
