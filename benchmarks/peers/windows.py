"""The plan that the peers of the engine benchmark read: windows of samples, already tokenized and masked."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plan:
    """The work of a peer: `windows[u]` holds the samples of update u, each {input_ids, labels}."""

    model: str
    windows: list[list[dict[str, list[int]]]]
    per_device_batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float
    rank: int
    alpha: float
    seed: int
    double_quant: bool
    compute_dtype: str

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan."""
        return cls(**json.loads(path.read_text()))

    @property
    def rows(self) -> list[dict[str, list[int]]]:
        """All samples in training order."""
        return [row for window in self.windows for row in window]

    @property
    def tokens(self) -> list[int]:
        """Number of real tokens in each update, including prompts and excluding padding."""
        return [sum(len(row["input_ids"]) for row in window) for window in self.windows]


def save_result(path: Path, **figures: Any) -> None:
    """Write a peer's own measurements: losses and seconds per update, and peak_device_bytes."""
    path.write_text(json.dumps(figures))
