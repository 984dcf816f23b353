"""How many rows of each training dataset are held out and used. The server plans with these counts, the worker trains on them."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction


def held_out_of_each(rows: Sequence[int], count: int) -> list[int] | None:
    """Return how many rows of each dataset to hold out, `count` in total; None if a dataset would have no rows left.

    The counts are in proportion to the datasets' rows, except that each dataset keeps at least one row. `rows`: the
    trainable rows of each dataset.
    """
    free = [each - 1 for each in rows]
    total = sum(free)
    if count > total or min(free) < 0:
        return None
    ends = [0]
    for each in free:
        ends.append(ends[-1] + each)
    # Rounding the sums instead of the shares makes the counts add up.
    shares = [(2 * count * end + total) // (2 * total) if total else 0 for end in ends]
    return [end - start for start, end in itertools.pairwise(shares)]


def used_rows(rows: int, weight: float) -> int:
    """Return how many rows an epoch has from a dataset of `rows` rows: `rows` × `weight`, rounded, but at least 1.

    Halves are rounded up. The weight is taken as the decimal number that the user wrote.
    """
    exact = Fraction(str(weight)) * rows
    return max(1, math.floor(exact + Fraction(1, 2))) if rows else 0
