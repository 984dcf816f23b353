"""Attention over packed samples on a GPU: torch's own varlen kernel computes all samples in one launch, without a mask.

A dense mask takes memory and time that grow with the square of the micro-batch. The kernel needs bfloat16, a compute capability
of 8.0 or higher, and the samples' boundaries, which the packer computes, so no layer waits for the device.
Sliding windows are not supported, because some architectures express them only in their mask.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

VARLEN = "stepline_varlen"
"""Name registered in transformers, which builds no mask because no mask function is registered under it."""
LEAST_CAPABILITY = (8, 0)


def attend(
    _module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Return attention within each sample: [1, T, heads, size].

    `query` is [1, heads, T, size]; `key` and `value` may have fewer heads. `cu_seq_lens_q` [samples + 1] holds the samples'
    boundaries as int32, and `max_length_q` is the length of the longest one. Raises ValueError for a call with a mask, with dropout, or
    without boundaries.
    """
    if attention_mask is not None or dropout or cu_seq_lens_q is None or max_length_q is None:
        raise ValueError(
            "packed samples are separated by their boundaries; masks, caches and dropout are not supported"
        )
    kernel: Any = varlen_attn
    # Under autocast, an architecture may leave them in float32.
    q, k, v = (whole[0].transpose(0, 1).to(torch.bfloat16) for whole in (query, key, value))
    output: Tensor = kernel(
        q,
        k,
        v,
        cu_seq_lens_q,
        cu_seq_lens_q,
        max_length_q,
        max_length_q,
        scale=scaling,
        window_size=(-1, 0),  # causal
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return output[None].to(query.dtype), None


AttentionInterface.register(VARLEN, attend)
