"""The loss: summed negative log-likelihood of the supervised tokens; the caller divides once by the number of tokens.

The same pass counts the tokens that the model predicts correctly, from which the caller computes the token accuracy.

The logits of a whole micro-batch are never in memory at the same time. The head and the cross-entropy process the
supervised tokens in chunks. If a gradient is needed, the same pass computes it chunk by chunk: the head is frozen, so only
the gradient of the hidden states has to be kept.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.training.data.batches import MicroBatch
from worker.training.model.trainable import TrainableModel

_CHUNK_BYTES = {"cpu": 128 * 2**20, "cuda": 512 * 2**20}
"""Size of one chunk's float32 logits, in bytes, by device type."""


class Score(NamedTuple):
    """How well a model predicts a batch's supervised tokens: for each token, or summed over all of them."""

    nll: Tensor
    """In nats; float32."""
    correct: Tensor
    """Whether the target has the largest logit, or the number of such tokens. If several tokens have the largest logit, the
    one with the lowest id counts, as in greedy decoding."""


def sum_nll(model: TrainableModel, batch: MicroBatch) -> Tensor:
    """Return the summed NLL of the batch's supervised tokens, in nats, ready for `backward`."""
    return sum_score(model, batch).nll


def sum_score(model: TrainableModel, batch: MicroBatch) -> Score:
    """Return the sums over the batch's supervised tokens; `nll` is ready for `backward`."""
    if not model.plain_head:
        logits = model.logits(batch).float()
        nll = functional.cross_entropy(logits, batch.targets, reduction="sum")
        return Score(nll, _is_largest(logits.detach(), batch.targets[:, None]).sum())
    hidden = model.hidden(batch)
    return Score(*_ChunkedScore.apply(hidden, model.head, batch.targets))  # type: ignore[no-untyped-call]  # untyped in torch


@torch.no_grad()
def token_score(model: TrainableModel, batch: MicroBatch) -> Score:
    """Return the score of each supervised token of the batch: [N]."""
    if not model.plain_head:
        logits = model.logits(batch).float()
        nll = functional.cross_entropy(logits, batch.targets, reduction="none")
        return Score(nll, _is_largest(logits, batch.targets[:, None]))
    return chunked_score(model.hidden(batch), model.head, batch.targets)[0]


def chunked_score(
    hidden: Tensor, head: nn.Linear, targets: Tensor, *, gradient: bool = False
) -> tuple[Score, Tensor | None]:
    """Return the score of each target [N].

    If `gradient`, also return the gradient of the summed NLL with respect to `hidden` [N, H].
    """
    weight, bias = head.weight, head.bias
    nll = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
    correct = torch.empty(len(targets), dtype=torch.bool, device=hidden.device)
    slope = torch.empty_like(hidden) if gradient else None
    for start in range(0, len(targets), chunk := chunk_tokens(weight)):
        here = slice(start, start + chunk)
        goal = targets[here, None]
        logits = functional.linear(hidden[here].to(weight.dtype), weight, bias).float()
        log_sum = torch.logsumexp(logits, dim=-1, keepdim=True)
        nll[here] = (log_sum - logits.gather(1, goal))[:, 0]
        correct[here] = _is_largest(logits, goal)
        if slope is not None:
            logits.sub_(log_sum).exp_()  # now holds the probabilities
            logits.scatter_add_(1, goal, logits.new_full(goal.shape, -1.0))
            slope[here] = logits.to(weight.dtype) @ weight
    return Score(nll, correct), slope


def chunk_tokens(weight: Tensor) -> int:
    """Return the number of tokens per chunk for a head of this size."""
    return max(16, _CHUNK_BYTES.get(weight.device.type, 64 * 2**20) // (4 * weight.shape[0]))


def _is_largest(logits: Tensor, goal: Tensor) -> Tensor:
    """Return, for each row of logits [N, V], whether its largest logit is that of `goal` [N, 1]: [N]."""
    return logits.argmax(dim=-1) == goal[:, 0]


class _ChunkedScore(torch.autograd.Function):
    """Sums the score; the forward pass also computes the gradient of the summed NLL with respect to the hidden states."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: nn.Linear, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        score, slope = chunked_score(hidden, head, targets, gradient=True)
        ctx.save_for_backward(slope)
        correct = score.correct.sum()
        ctx.mark_non_differentiable(correct)
        return score.nll.sum(), correct

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        # Do not cast the factor to bfloat16: its rounding would bias every gradient in the same direction.
        return slope.float().mul_(gradients[0]).to(slope.dtype), None, None
