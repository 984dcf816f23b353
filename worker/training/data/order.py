"""Selects the rows held out for evaluation, and the order of the others in each epoch.

Both are pure functions of the seed. In epoch e (from 0) the kept training rows, numbered from 0 in file order, are
sorted by the SHA-256 of the ASCII text "{seed}:{e}:{row}". Rows are held out for evaluation in the order of
"{seed}:eval:{row}", where row is the row's index, from 0, in the file; held-out rows keep the file order.
"""

import hashlib


def epoch_order(seed: int, epoch: int, rows: int) -> list[int]:
    """Return the order of the kept training rows in an epoch (from 0)."""
    return _ordered(f"{seed}:{epoch}", rows)


def held_out(seed: int, rows: int, count: int) -> list[int]:
    """Return which rows of a file are held out for evaluation, in the file's order."""
    return sorted(_ordered(f"{seed}:eval", rows)[:count])


def _ordered(prefix: str, rows: int) -> list[int]:
    keys = [hashlib.sha256(f"{prefix}:{row}".encode("ascii")).digest() for row in range(rows)]
    return sorted(range(rows), key=keys.__getitem__)
