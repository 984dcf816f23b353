"""The published sizes of Qwen2 and Qwen2.5."""

from dataclasses import dataclass
from typing import Any

POSITIONS = 32_768
"""The longest sample that these models support, in tokens."""


@dataclass(frozen=True)
class Size:
    """The sizes of a Qwen2 or Qwen2.5 model."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int = 151_936
    tied: bool = True
    double_quant: bool = False
    """What `auto` chooses: true for models with at least 3 billion parameters."""

    def config(self) -> dict[str, Any]:
        """Return the arguments of Qwen2Config."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "max_position_embeddings": POSITIONS,
            "tie_word_embeddings": self.tied,
        }


SIZES = {
    "0.5B": Size(896, 4864, 24, 14, 2),
    "1.5B": Size(1536, 8960, 28, 12, 2),
    "3B": Size(2048, 11_008, 36, 16, 2, double_quant=True),
    "7B": Size(3584, 18_944, 28, 28, 4, vocabulary=152_064, tied=False, double_quant=True),
    "14B": Size(5120, 13_824, 48, 40, 8, vocabulary=152_064, tied=False, double_quant=True),
}
"""From the published config.json of each model. Qwen2 and Qwen2.5 have the same shapes; 3B and 14B exist only as Qwen2.5."""
