"""Divides samples among the ranks. A pure function of their lengths, so every rank computes the same division."""

from collections.abc import Sequence, Sized


def divide(samples: Sequence[Sized], count: int) -> list[list[int]]:
    """Return the indexes of each rank's samples, in ascending order; all ranks get about the same number of tokens.

    Each sample, longest first, goes to the rank with the fewest tokens so far. Ranks without a sample get an empty list.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    for row in sorted(range(len(samples)), key=lambda row: (-len(samples[row]), row)):
        rank = min(range(count), key=tokens.__getitem__)
        shares[rank].append(row)
        tokens[rank] += len(samples[row])
    return [sorted(share) for share in shares]
