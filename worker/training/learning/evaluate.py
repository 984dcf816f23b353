"""Evaluates a whole split: the loss is token-weighted and independent of the batch size. A non-finite value is an error."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from contracts.failure import FailureReason
from contracts.summary import Interval
from worker.training.data.arrays import Sample
from worker.training.data.batches import pack
from worker.training.errors import TrainingError
from worker.training.learning.loss import token_score
from worker.training.model.trainable import TrainableModel
from worker.training.ranks.group import ALONE, Group
from worker.training.rundir.counter import Count, count_nothing

_RESAMPLES = 1000


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of the whole split."""

    row_nll: npt.NDArray[np.float64]
    """Summed NLL of each row, in nats."""
    row_tokens: npt.NDArray[np.int64]
    """Number of supervised tokens of each row."""
    seconds: float
    correct_tokens: int | None = None
    """Number of supervised tokens that the model predicts correctly; None if it was restored from a checkpoint of an earlier version."""

    @property
    def loss(self) -> float:
        """Nats per supervised token."""
        return math.fsum(self.row_nll) / self.tokens

    @property
    def token_accuracy(self) -> float | None:
        """Fraction of the supervised tokens that the model predicts correctly; None if not measured."""
        return None if self.correct_tokens is None else self.correct_tokens / self.tokens

    @property
    def tokens(self) -> int:
        """Number of supervised tokens of the split."""
        return int(self.row_tokens.sum())


def evaluate(
    model: TrainableModel,
    samples: Sequence[Sample],
    token_budget: int,
    *,
    step: int,
    group: Group = ALONE,
    between: Callable[[], None] = lambda: None,
    count: Count = count_nothing,
) -> Evaluation:
    """Compute the score of every sample, without dropout. Each rank computes its share; all return the same evaluation.

    Before each micro-batch, calls `between`, which may raise to stop the evaluation. After it, calls `count` with the numbers of
    its samples and tokens, multiplied by the number of ranks, because all ranks progress at about the same speed.
    """
    started = time.monotonic()
    rows = group.share(samples)
    share = [samples[row] for row in rows]
    share_nll, correct = np.zeros(len(share)), 0
    model.eval()
    for batch in pack(share, token_budget, together=model.packs):
        between()
        score = token_score(model, batch.moved(model.device.upload))
        nll = score.nll.double().cpu()
        correct += int(score.correct.sum())
        share_nll += (
            torch.zeros(len(share), dtype=torch.float64).index_add_(0, batch.rows, nll).numpy()
        )
        count(group.count * len(np.unique(batch.rows.numpy())), group.count * batch.tokens)
    sums = np.zeros(len(samples) + 1)
    sums[rows], sums[-1] = share_nll, correct
    sums = group.sum(sums)
    row_nll = sums[:-1]
    _check_finite(row_nll, step)
    row_tokens = np.array([sample.supervised_tokens for sample in samples], dtype=np.int64)
    return Evaluation(row_nll, row_tokens, time.monotonic() - started, int(sums[-1]))


def improvement_interval(base: Evaluation, tuned: Evaluation, seed: int) -> Interval:
    """Return the 95 % confidence interval of base − tuned loss, by bootstrap over the evaluation rows."""
    random = np.random.default_rng(seed)
    gain, tokens = base.row_nll - tuned.row_nll, base.row_tokens
    means = np.empty(_RESAMPLES)
    for number in range(_RESAMPLES):
        drawn = random.integers(0, len(gain), len(gain))
        means[number] = gain[drawn].sum() / tokens[drawn].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))


def _check_finite(row_nll: npt.NDArray[np.float64], step: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(row_nll))
    if len(wrong):
        raise TrainingError(
            FailureReason.LOSS_NOT_FINITE,
            f"{len(wrong)} of {len(row_nll)} evaluation rows have a non-finite loss (the first is row "
            f"{wrong[0]}, counted from 0)",
            step=step,
            evidence={"rows": len(wrong), "first_row": int(wrong[0])},
        )
