"""The token budget: how many tokens one micro-batch may hold on this device. Never changes the effective batch."""

from dataclasses import dataclass
from typing import Any

import torch

from contracts.job import Auto
from worker.training.model import TrainableModel

CPU_TOKENS = 512
"""Measured on the 0.5B model: 62.7 tokens/s at 384, 65.6 at 512, 69.0 at 640; 768 costs 1.6 GB more than 384."""
CUDA_MOST_TOKENS = 16_384
"""The block-diagonal mask is dense: beyond this its square costs more than further kernels save."""
_LEAST_TOKENS = 64
_MEMORY_SHARE = 0.7
"""Share of the free memory that the estimate may fill: it is a paper count, good to about 30 %."""


@dataclass(frozen=True)
class TokenBudget:
    """Tokens of one micro-batch, and why so many."""

    tokens: int
    reason: str


def choose_token_budget(asked: int | Auto, model: TrainableModel) -> TokenBudget:
    """Return the budget asked for, or one that suits the device, whose memory gradients and moments have taken already."""
    if asked != "auto":
        return TokenBudget(asked, "asked for by engine.token_budget")
    if not model.device.is_cuda:
        return TokenBudget(
            CPU_TOKENS, "on a CPU larger micro-batches gain little and hold more memory"
        )
    free, _ = torch.cuda.mem_get_info(model.device.torch_device)
    room = int(free * _MEMORY_SHARE)
    tokens = CUDA_MOST_TOKENS
    while tokens > _LEAST_TOKENS and memory_bytes(model, tokens) > room:
        tokens = int(tokens * 0.9)
    return TokenBudget(tokens, f"estimated from {free / 2**30:.1f} GiB of free GPU memory")


def memory_bytes(model: TrainableModel, tokens: int) -> int:
    """Estimate what a micro-batch holds until its backward pass: activations of all layers, mask, one head chunk."""
    size = _Sizes.of(model.config)
    width = model.device.compute_dtype.itemsize
    rank = max((c.r for c in model.peft_model.peft_config.values()), default=0)
    layer = (12 * size.hidden + 4 * size.intermediate + 3 * size.attention) * width + 14 * rank
    activations = size.layers * layer * tokens
    mask = (1 + 2 * width) * tokens * tokens
    head = 2**30
    return activations + mask + head


@dataclass(frozen=True)
class _Sizes:
    hidden: int
    intermediate: int
    attention: int
    layers: int

    @classmethod
    def of(cls, config: Any) -> "_Sizes":
        hidden = int(config.hidden_size)
        heads = int(config.num_attention_heads)
        head_size = int(getattr(config, "head_dim", None) or hidden // heads)
        shared = int(getattr(config, "num_key_value_heads", None) or heads)
        return cls(
            hidden=hidden,
            intermediate=int(getattr(config, "intermediate_size", None) or 4 * hidden),
            attention=(heads + 2 * shared) * head_size,
            layers=int(config.num_hidden_layers),
        )
