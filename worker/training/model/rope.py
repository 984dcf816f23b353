"""Rotary position embeddings that depend on the length of what is computed, by what config.json says.

transformers takes that length from the largest position of the whole row, so that packed samples share it.
"""

from typing import Any


def longest_packed(config: Any) -> int | None:
    """Return the length up to which packing leaves `longrope` as it is, None if it always does.

    A longer sample switches all of its row to the frequencies for long texts.
    """
    lengths = (rope["original_max_position_embeddings"] for rope in _ropes(config, "longrope"))
    return min(lengths, default=None)


def longest_dynamic(config: Any) -> int | None:
    """Return the length up to which `dynamic` frequencies stay as they are, None if they always do.

    Beyond, they grow with the longest row seen and are kept for rows that come later.
    """
    # Hunyuan calls "dynamic" what has an alpha and never changes.
    is_growing = any(not rope.get("alpha") for rope in _ropes(config, "dynamic"))
    return int(config.get_text_config().max_position_embeddings) if is_growing else None


def _ropes(config: Any, kind: str) -> list[dict[str, Any]]:
    named = getattr(config.get_text_config(), "rope_parameters", None) or {}
    by_layer = [value for value in named.values() if isinstance(value, dict)]
    return [rope for rope in by_layer or [named] if rope.get("rope_type") == kind]
