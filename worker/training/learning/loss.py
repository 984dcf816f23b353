"""The loss: summed negative log-likelihood of the supervised tokens; the caller divides once by the number of tokens.

The logits of a whole micro-batch are never in memory at the same time. The head and the cross-entropy process the
supervised tokens in chunks. If a gradient is needed, the same pass computes it chunk by chunk: the head is frozen, so only
the gradient of the hidden states has to be kept.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.training.data.batches import MicroBatch
from worker.training.model.trainable import TrainableModel

_CHUNK_BYTES = {"cpu": 128 * 2**20, "cuda": 512 * 2**20}
"""Size of one chunk's float32 logits, in bytes, by device type."""


def sum_nll(model: TrainableModel, batch: MicroBatch) -> Tensor:
    """Return the summed NLL of the batch's supervised tokens, in nats, ready for `backward`."""
    if not model.plain_head:
        return functional.cross_entropy(model.logits(batch).float(), batch.targets, reduction="sum")
    hidden = model.hidden(batch)
    total: Tensor = _ChunkedNll.apply(hidden, model.head, batch.targets)  # type: ignore[no-untyped-call]  # untyped in torch
    return total


@torch.no_grad()
def token_nll(model: TrainableModel, batch: MicroBatch) -> Tensor:
    """Return the NLL of each supervised token of the batch, in nats: [N]."""
    if not model.plain_head:
        return functional.cross_entropy(
            model.logits(batch).float(), batch.targets, reduction="none"
        )
    return chunked_nll(model.hidden(batch), model.head, batch.targets)[0]


def chunked_nll(
    hidden: Tensor, head: nn.Linear, targets: Tensor, *, gradient: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return the NLL of each target [N] in float32.

    If `gradient`, also return the gradient of their sum with respect to `hidden` [N, H].
    """
    weight, bias = head.weight, head.bias
    nll = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
    slope = torch.empty_like(hidden) if gradient else None
    for start in range(0, len(targets), chunk := chunk_tokens(weight)):
        here = slice(start, start + chunk)
        goal = targets[here, None]
        logits = functional.linear(hidden[here].to(weight.dtype), weight, bias).float()
        log_sum = torch.logsumexp(logits, dim=-1, keepdim=True)
        nll[here] = (log_sum - logits.gather(1, goal))[:, 0]
        if slope is not None:
            logits.sub_(log_sum).exp_()  # now holds the probabilities
            logits.scatter_add_(1, goal, logits.new_full(goal.shape, -1.0))
            slope[here] = logits.to(weight.dtype) @ weight
    return nll, slope


def chunk_tokens(weight: Tensor) -> int:
    """Return the number of tokens per chunk for a head of this size."""
    return max(16, _CHUNK_BYTES.get(weight.device.type, 64 * 2**20) // (4 * weight.shape[0]))


class _ChunkedNll(torch.autograd.Function):
    """Sums the NLL; the forward pass also computes the gradient of the sum with respect to the hidden states."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: nn.Linear, targets: Tensor) -> Tensor:
        nll, slope = chunked_nll(hidden, head, targets, gradient=True)
        ctx.save_for_backward(slope)
        return nll.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        # Do not cast the factor to bfloat16: its rounding would bias every gradient in the same direction.
        return slope.float().mul_(gradients[0]).to(slope.dtype), None, None
