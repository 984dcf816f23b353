"""Limits the length of samples to the model's positions, and to the length that its rotary embeddings support.

Both limits come from config.json. transformers derives the length for rotary embeddings from the largest position of
the whole row, so packed samples share that length.
"""

from pathlib import Path
from typing import Any

from transformers import AutoConfig

from contracts.failure import FailureReason
from contracts.job import JobSpec
from worker.training.errors import TrainingError
from worker.training.model.refusal import refusing


def check_length(directory: Path, spec: JobSpec) -> None:
    """Reject a `training.max_length` beyond the model's positions, or beyond the positions that it encodes consistently."""
    with refusing("config.json cannot be loaded"):
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
        positions, fixed = _positions(config), longest_dynamic(config)
    if fixed is not None and spec.training.max_length > fixed:
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            f"training.max_length is {spec.training.max_length}, but beyond {fixed} positions, this model's dynamic RoPE "
            f"encodes each sample depending on the longest one so far. Set training.max_length to {fixed} or less",
            evidence={
                "max_length": spec.training.max_length,
                "max_position_embeddings": fixed,
            },
        )
    if positions is not None and spec.training.max_length > positions:
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            f"training.max_length is {spec.training.max_length}, but the model has only {positions} positions",
            evidence={
                "max_length": spec.training.max_length,
                "max_position_embeddings": positions,
            },
        )


def longest_packed(config: Any) -> int | None:
    """Return the length up to which packing does not change `longrope`; None if packing never does.

    A longer sample switches its whole row to the frequencies for long inputs.
    """
    lengths = (rope["original_max_position_embeddings"] for rope in _ropes(config, "longrope"))
    return min(lengths, default=None)


def longest_dynamic(config: Any) -> int | None:
    """Return the length up to which `dynamic` frequencies do not change; None if they never do.

    Beyond that length, they grow with the longest row so far and also apply to later rows.
    """
    # Hunyuan's "dynamic" frequencies have an alpha and never change.
    is_growing = any(not rope.get("alpha") for rope in _ropes(config, "dynamic"))
    return int(config.get_text_config().max_position_embeddings) if is_growing else None


def _positions(config: Any) -> int | None:
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if not isinstance(positions, int):
        return None
    scaling = getattr(text, "rope_parameters", None) or {}
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if not isinstance(factor, int | float):
        return positions
    return max(positions, int(factor * (original or positions)))


def _ropes(config: Any, kind: str) -> list[dict[str, Any]]:
    named = getattr(config.get_text_config(), "rope_parameters", None) or {}
    by_layer = [value for value in named.values() if isinstance(value, dict)]
    return [rope for rope in by_layer or [named] if rope.get("rope_type") == kind]
