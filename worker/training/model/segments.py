"""Attention over packed samples on a CPU: sample by sample, each through SDPA's own causal path, with no mask at all.

The block-diagonal mask that transformers builds is dense: for a row of T tokens, T² scores are computed and most thrown
away. Here sample i costs half of its own length squared, so that a row may hold more samples at the price of their number
alone. Windows that slide are not known here: some architectures tell them by their mask only. On a GPU a varlen kernel
does this in one launch; a loop of small launches would be slower there.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

SEGMENTS = "stepline_segments"
"""Under this name transformers knows it; having no mask function under that name, it builds no mask."""


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
    """Return attention within each sample: [1, T, heads, size]. A sample begins wherever its position is 0.

    `query`, `key` and `value` are [1, heads, T, size]; `position_ids` is [1, T]. Raises ValueError for a call that says
    more than that.
    """
    if attention_mask is not None or position_ids is None or key.shape[2] != query.shape[2]:
        raise ValueError(
            "packed samples are told apart by their positions, with no mask and no cache"
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
