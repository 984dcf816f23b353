"""The amount of computation in a job. How fast a device performs it is known only from finished jobs."""

from contracts.model_facts import ModelSizes


def training_flops(
    sizes: ModelSizes,
    adapter_parameters: int,
    *,
    tokens: float,
    supervised: float,
    row_tokens: float,
    recomputes: bool,
) -> float:
    """Return the operations of all optimizer steps: those that `worker/training/report/flops.py` counts, plus attention.

    `tokens` and `supervised` are totals over all steps. `row_tokens` is the mean number of tokens per row, in which
    attention is quadratic.
    """
    frozen = 2 * sizes.linear_parameters
    passes = 3 if recomputes else 2
    attention = 6 * sizes.layers * sizes.hidden * row_tokens
    per_token = passes * frozen + (8 if recomputes else 6) * adapter_parameters + attention
    return tokens * per_token + 4 * sizes.hidden * sizes.vocabulary * supervised


def evaluation_flops(
    sizes: ModelSizes,
    adapter_parameters: int,
    *,
    tokens: float,
    supervised: float,
    row_tokens: float,
) -> float:
    """Return the operations of all evaluations, which only have a forward pass."""
    attention = 2 * sizes.layers * sizes.hidden * row_tokens
    per_token = 2 * sizes.linear_parameters + 2 * adapter_parameters + attention
    return tokens * per_token + 2 * sizes.hidden * sizes.vocabulary * supervised
