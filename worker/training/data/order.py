"""Selects the rows held out for evaluation, the rows that a weight uses, and the order of the rows in each epoch.

All are pure functions of the seed. In epoch e (from 0) the training rows, numbered from 0 in file order, are sorted by
the SHA-256 of the ASCII text "{seed}:{e}:{row}". Rows are held out for evaluation in the order of "{seed}:eval:{row}",
where row is the row's index, from 0, in the file; held-out rows keep the file order.

The rows of several datasets are numbered consecutively, in the order of the datasets. If a weight uses only some rows of a
dataset, or some rows once more than the others, these are the first in the order of "{seed}:weight:{row}". A row that is
used several times has as many consecutive numbers in the order of an epoch.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from contracts.run.mixture import used_rows


def epoch_order(seed: int, epoch: int, rows: int) -> list[int]:
    """Return the order of the kept training rows in an epoch (from 0)."""
    return _ordered(f"{seed}:{epoch}", rows)


def held_out(seed: int, rows: int, count: int, first: int = 0) -> list[int]:
    """Return the indexes of the rows of a file that are held out for evaluation, ascending.

    `first`: the number of the file's first row.
    """
    return sorted(_ordered(f"{seed}:eval", rows, first)[:count])


def selected(seed: int, rows: int, count: int, first: int = 0) -> list[int]:
    """Return the indexes of the `count` rows of a dataset that a weight selects, ascending.

    `first`: the number of the dataset's first row.
    """
    return sorted(_ordered(f"{seed}:weight", rows, first)[:count])


def repetitions(seed: int, rows: int, weight: float, first: int = 0) -> npt.NDArray[np.int64]:
    """Return the index of each row as often as an epoch uses it, ascending. `weight` is at least 1.

    `first`: the number of the dataset's first row.
    """
    whole, extra = divmod(used_rows(rows, weight), rows)
    times = np.full(rows, whole)
    if extra:
        times[selected(seed, rows, extra, first)] += 1
    return np.repeat(np.arange(rows, dtype=np.int64), times)


def _ordered(prefix: str, rows: int, first: int = 0) -> list[int]:
    numbers = range(first, first + rows)
    keys = [hashlib.sha256(f"{prefix}:{number}".encode("ascii")).digest() for number in numbers]
    return sorted(range(rows), key=keys.__getitem__)
