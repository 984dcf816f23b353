"""Attention on fake tensors: allocates the same memory as the real kernels, on any build of torch.

Not every build can report which kernel SDPA would choose for fake tensors on a GPU, so this module reproduces the
choice.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

UNMASKED = "stepline_planned"
"""Name registered in transformers, which builds no mask because no mask function is registered under it."""
_BIAS_MULTIPLE = 8
"""The kernel needs rows whose length is a multiple of this number; SDPA pads a bias accordingly."""
_segments: list[int] = []
"""Lengths of the samples in the traced micro-batch, in tokens."""


def set_segments(lengths: Sequence[int]) -> None:
    """Set the lengths of the samples that attention without a mask separates, in tokens."""
    _segments[:] = lengths


class FakeAttention(TorchFunctionMode):
    """While active, replaces SDPA on GPUs with the operation of the kernel that it would choose, in this thread only."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, or the replacement."""
        options = kwargs or {}
        if func is functional.scaled_dot_product_attention and args[0].is_cuda:
            return _attend_on_gpu(*args, **options)
        return func(*args, **options)


def _attend_on_gpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_options: Any,
) -> Tensor:
    """Return attention [1, heads, T, size]; a mask becomes a bias of the compute type, kept for the backward pass."""
    if attn_mask is None:
        return _flash(query, key, value, dropout=dropout_p, scale=scale, is_causal=is_causal)
    bias = attn_mask
    if attn_mask.dtype is torch.bool:
        bias = torch.zeros_like(attn_mask, dtype=query.dtype)
        bias.masked_fill_(attn_mask.logical_not(), -torch.inf)
    width = bias.shape[-1]
    if width % _BIAS_MULTIPLE:
        bias = functional.pad(bias, (0, _BIAS_MULTIPLE - width % _BIAS_MULTIPLE))[..., :width]
    bias = bias.expand(*query.shape[:3], width)
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention  # noqa: SLF001
    output: Tensor = efficient(query, key, value, bias, True, dropout_p, False, scale=scale)[0]
    return output


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    dropout: float,
    scale: float | None,
    is_causal: bool,
) -> Tensor:
    flash = torch.ops.aten._scaled_dot_product_flash_attention  # noqa: SLF001
    output: Tensor = flash(query, key, value, dropout, is_causal, False, scale=scale)[0]
    return output


def _attend_unmasked(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return attention within each sample: [1, T, heads, size], in one launch on a GPU, sample by sample on a CPU."""
    if query.is_cuda:
        output = _flash(query, key, value, dropout=dropout, scale=scaling, is_causal=True)
        return output.transpose(1, 2).contiguous(), None
    outputs, start = [], 0
    for length in _segments:
        parts = (whole[:, :, start : start + length] for whole in (query, key, value))
        options = {"dropout": dropout, "scaling": scaling}
        outputs.append(sdpa_attention_forward(module, *parts, None, **options)[0])
        start += length
    return torch.cat(outputs, dim=1), None


AttentionInterface.register(UNMASKED, _attend_unmasked)
