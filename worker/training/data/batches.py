"""Batches: which samples make an update, and how they are packed into micro-batches without padding.

The window (the samples of one update) is the contract; the micro-batches are the engine's choice. Packed samples lie
end to end in one row; transformers keeps them apart by their restarting positions, but only without an attention mask
and without a cache. Any other call mixes the samples silently (tests/worker/training/model/test_load.py holds the proof).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from worker.training.data.order import epoch_order
from worker.training.data.samples import Sample

PACKING_VERSION = 3
"""Raised whenever the same window would be packed or its gradient summed otherwise: a resumed run could not be bit-exact."""


@dataclass(frozen=True)
class MicroBatch:
    """Samples end to end in one row of T tokens, N of which have a supervised next token."""

    input_ids: Tensor
    """[1, T]"""
    position_ids: Tensor
    """[1, T], from 0 in each sample."""
    places: Tensor
    """[N]: where the hidden state stands that predicts a supervised token."""
    targets: Tensor
    """[N]: that token."""
    rows: Tensor
    """[N]: number of the sample in the list that was packed."""

    def to(self, device: torch.device) -> Self:
        """Return a copy on the device."""
        fields = (self.input_ids, self.position_ids, self.places, self.targets, self.rows)
        return type(self)(*(field.to(device, non_blocking=True) for field in fields))

    @property
    def tokens(self) -> int:
        """Tokens, prompts included."""
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
        """Return the passes over the training rows after a step, as a fraction."""
        epoch, place = divmod(step - 1, self.per_epoch)
        return epoch + min((place + 1) * self._size, len(self._samples)) / len(self._samples)


def supervised_tokens(samples: Sequence[Sample]) -> int:
    """Return the tokens that an update's loss is divided by."""
    return sum(sample.supervised_tokens for sample in samples)


def pack(
    samples: Sequence[Sample], token_budget: int, *, together: bool = True
) -> list[MicroBatch]:
    """Pack samples into few micro-batches of at most `token_budget` tokens; a longer sample stands alone.

    First-fit by falling length; then the fullest micro-batch comes first, so that memory shows its peak early and what
    it leaves free fits those that follow. `together=False` gives each sample a micro-batch of its own, for models that
    cannot keep packed samples apart.
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
    return [_lay_out(samples, bins[place]) for place in fullest_first]


def _lay_out(samples: Sequence[Sample], rows: Sequence[int]) -> MicroBatch:
    chosen = [samples[row] for row in rows]
    ids = np.concatenate([sample.ids for sample in chosen]).astype(np.int64)
    supervised = np.flatnonzero(np.concatenate([sample.supervised for sample in chosen]))
    owners = np.repeat(np.array(rows, dtype=np.int64), [len(sample) for sample in chosen])
    positions = np.concatenate([np.arange(len(sample), dtype=np.int64) for sample in chosen])
    return MicroBatch(
        input_ids=torch.from_numpy(ids)[None],
        position_ids=torch.from_numpy(positions)[None],
        places=torch.from_numpy(supervised - 1),
        targets=torch.from_numpy(ids[supervised]),
        rows=torch.from_numpy(owners[supervised]),
    )
