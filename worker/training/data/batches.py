"""Batches: selects the samples of each update and packs them into micro-batches without padding.

The spec determines the window (the samples of one update); the engine chooses the micro-batches. Packed samples are
concatenated into one row. transformers separates them by their position ids, which restart at 0 in each sample, but
only in calls without an attention mask and without a cache. Any other call silently mixes the samples (shown by
tests/worker/training/model/test_load.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from worker.training.data.order import epoch_order
from worker.training.data.samples import Sample

PACKING_VERSION = 3
"""Increment this whenever packing or the order of summing gradients changes; runs resumed across the change are not
bit-exact."""


@dataclass(frozen=True)
class MicroBatch:
    """Concatenated samples in one row of T tokens, N of which have a supervised next token."""

    input_ids: Tensor
    """[1, T]"""
    position_ids: Tensor
    """[1, T], restarting at 0 in each sample."""
    places: Tensor
    """[N]: positions of the hidden states that predict supervised tokens."""
    targets: Tensor
    """[N]: the supervised tokens."""
    rows: Tensor
    """[N]: for each supervised token, the index of its sample in the list given to `pack`."""
    boundaries: Tensor
    """[samples + 1], int32: where each sample begins in the row, and T."""
    longest: int
    """Number of tokens of the longest sample."""

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Return a copy whose tensors have been moved by `move`, for instance to a device."""
        moved: dict[str, Any] = {
            name: move(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    @property
    def tokens(self) -> int:
        """Number of tokens, including prompts."""
        return self.input_ids.shape[1]


class Windows:
    """The windows of a run: window s holds the samples of optimizer step s (from 1)."""

    def __init__(self, samples: Sequence[Sample], effective_batch_size: int, seed: int) -> None:
        self._samples = samples
        self._size = effective_batch_size
        self._seed = seed
        self._epoch = -1
        self._order: list[int] = []
        self.per_epoch = -(-len(samples) // effective_batch_size)

    def window(self, step: int) -> list[Sample]:
        """Return the samples of a step; the last window of an epoch may be smaller."""
        epoch, place = divmod(step - 1, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = epoch_order(self._seed, epoch, len(self._samples))
        rows = self._order[place * self._size : (place + 1) * self._size]
        return [self._samples[row] for row in rows]

    def epochs_done(self, step: int) -> float:
        """Return how many epochs have been completed after a step, including fractions."""
        epoch, place = divmod(step - 1, self.per_epoch)
        return epoch + min((place + 1) * self._size, len(self._samples)) / len(self._samples)


def supervised_tokens(samples: Sequence[Sample]) -> int:
    """Return the number of supervised tokens, by which an update's loss is divided."""
    return sum(sample.supervised_tokens for sample in samples)


def pack(
    samples: Sequence[Sample], token_budget: int, *, together: bool = True
) -> list[MicroBatch]:
    """Pack samples into micro-batches of at most `token_budget` tokens by first-fit decreasing.

    A longer sample gets its own micro-batch. The fullest micro-batch comes first, so memory peaks early and later
    micro-batches fit into the freed memory. With `together=False`, each sample gets its own micro-batch, for models
    that mix packed samples.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for row in sorted(range(len(samples)), key=lambda row: (-len(samples[row]), row)):
        length = len(samples[row])
        fit = next((place for place, left in enumerate(room) if left >= length), None)
        if fit is None or not together:
            bins.append([row])
            room.append(token_budget - length)
        else:
            bins[fit].append(row)
            room[fit] -= length
    fullest_first = sorted(range(len(bins)), key=room.__getitem__)
    return [_build(samples, bins[place]) for place in fullest_first]


def _build(samples: Sequence[Sample], rows: Sequence[int]) -> MicroBatch:
    chosen = [samples[row] for row in rows]
    lengths = [len(sample) for sample in chosen]
    ids = np.concatenate([sample.ids for sample in chosen]).astype(np.int64)
    supervised = np.flatnonzero(np.concatenate([sample.supervised for sample in chosen]))
    owners = np.repeat(np.array(rows, dtype=np.int64), lengths)
    positions = np.concatenate([np.arange(length, dtype=np.int64) for length in lengths])
    return MicroBatch(
        input_ids=torch.from_numpy(ids)[None],
        position_ids=torch.from_numpy(positions)[None],
        places=torch.from_numpy(supervised - 1),
        targets=torch.from_numpy(ids[supervised]),
        rows=torch.from_numpy(owners[supervised]),
        boundaries=torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)),
        longest=max(lengths),
    )
