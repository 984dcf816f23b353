"""Attention over packed samples on a CPU: sample by sample, each through SDPA's causal path, without a mask.

The block-diagonal mask that transformers builds is dense: for a row of T tokens, T² scores are computed and most are
discarded. Here each sample costs half the square of its own length, so the cost of a row grows only linearly with the
number of its samples. Sliding windows are not supported, because some architectures express them only in their mask. On
a GPU a varlen kernel does this in one launch; a loop of small launches would be slower there.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

SEGMENTS = "stepline_segments"
"""Name registered in transformers, which builds no mask because no mask function is registered under it."""


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    position_ids: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return attention within each sample: [1, T, heads, size]. A sample begins where the position is 0.

    `query`, `key` and `value` are [1, heads, T, size]; `position_ids` is [1, T]. Raises ValueError for a call with a mask
    or other unsupported arguments.
    """
    if attention_mask is not None or position_ids is None or key.shape[2] != query.shape[2]:
        raise ValueError(
            "packed samples are separated by their positions; a mask or a cache is not supported"
        )
    outputs = []
    for start, stop in _bounds(position_ids[0]):
        parts = (whole[:, :, start:stop] for whole in (query, key, value))
        outputs.append(sdpa_attention_forward(module, *parts, None, **options)[0])
    return torch.cat(outputs, dim=1), None


def _bounds(positions: Tensor) -> list[tuple[int, int]]:
    starts = [0, *(torch.nonzero(positions[1:] == 0).flatten() + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(positions)], strict=True))


AttentionInterface.register(SEGMENTS, attend)
