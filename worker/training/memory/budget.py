"""The token budget: the maximum tokens per micro-batch on this device. It never changes the effective batch."""

from dataclasses import dataclass
from typing import Any

from contracts.job import Auto
from worker.training.memory.host import free_gpu_bytes
from worker.training.model.trainable import TrainableModel

CPU_TOKENS = 512
"""Measured on the 0.5B model: 62.7 tokens/s at 384, 65.6 at 512, 69.0 at 640; 768 needs 1.6 GB more memory than 384."""
CPU_REASON = "on a CPU, larger micro-batches gain little and use more memory"
CUDA_MOST_TOKENS = 16_384
"""The block-diagonal mask is dense: beyond this size, its quadratic cost exceeds the savings from fewer kernel launches."""
_UNKNOWN_TOKENS = 2048
"""Used if config.json does not specify the layer sizes; halved if memory runs out."""
_LEAST_TOKENS = 64
_MEMORY_SHARE = 0.7
"""Share of the free memory that the estimate may fill; the estimate is accurate to within about 30 %."""


@dataclass(frozen=True)
class TokenBudget:
    """Maximum tokens per micro-batch, and the reason for that number."""

    tokens: int
    reason: str


def choose_token_budget(setting: int | Auto, model: TrainableModel) -> TokenBudget:
    """Return the requested budget, or one that fits the device. Call this after allocating gradients and moments."""
    if setting != "auto":
        return TokenBudget(setting, "set by engine.token_budget")
    if not model.device.is_cuda:
        return TokenBudget(CPU_TOKENS, CPU_REASON)
    if _Sizes.of(model.config) is None:
        return TokenBudget(_UNKNOWN_TOKENS, "config.json does not specify the layer sizes")
    free, _ = free_gpu_bytes(model.device.torch_device)
    room = int(free * _MEMORY_SHARE)
    tokens = CUDA_MOST_TOKENS
    while tokens > _LEAST_TOKENS and memory_bytes(model, tokens) > room:
        tokens = int(tokens * 0.9)
    return TokenBudget(tokens, f"estimated from {free / 2**30:.1f} GiB of free GPU memory")


def memory_bytes(model: TrainableModel, tokens: int) -> int:
    """Estimate the bytes that are kept until a micro-batch's backward pass.

    They are all layers' activations, the mask, and one chunk of logits. Includes a copy of the experts if they are
    trained, because peft adds their LoRA to the whole tensor in each pass. Returns 0 if config.json does not specify
    the layer sizes.
    """
    size = _Sizes.of(model.config)
    if size is None:
        return 0
    width = model.device.compute_dtype.itemsize
    configs = model.peft_model.peft_config.values()
    rank = max((c.r for c in configs), default=0)
    layer = (12 * size.hidden + 4 * size.intermediate + 3 * size.attention) * width + 14 * rank
    activations = size.layers * layer * tokens
    mask = (1 + 2 * width) * tokens * tokens
    experts = model.expert_parameters * width if any(c.target_parameters for c in configs) else 0
    head = 2**30
    return activations + mask + experts + head


@dataclass(frozen=True)
class _Sizes:
    hidden: int
    intermediate: int
    """Sum over all experts that process one token."""
    attention: int
    layers: int

    @classmethod
    def of(cls, config: Any) -> "_Sizes | None":
        text = config.get_text_config()
        hidden, heads = _largest(text, "hidden_size"), _largest(text, "num_attention_heads")
        layers = _largest(text, "num_hidden_layers")
        if not (hidden and heads and layers):
            return None
        head_size = _largest(text, "head_dim") or hidden // heads
        shared = _largest(text, "num_key_value_heads") or heads
        intermediate = _largest(text, "intermediate_size") or 4 * hidden
        expert = _largest(text, "moe_intermediate_size") or intermediate
        return cls(
            hidden=hidden,
            intermediate=max(intermediate, expert * _largest(text, "num_experts_per_tok")),
            attention=(heads + 2 * shared) * head_size,
            layers=layers,
        )


def _largest(config: Any, name: str) -> int:
    """Return a size, the largest if layers differ, or 0 if config.json does not specify it."""
    value = getattr(config, name, None)
    sizes = value if isinstance(value, list | tuple) else [value]
    return max((size for size in sizes if isinstance(size, int)), default=0)
