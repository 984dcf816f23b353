"""Measures the updates of a peer that trains with transformers' Trainer."""

import time
from typing import Any

import torch
from transformers import TrainerCallback


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Measures the time of each update and records its logged loss."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop the clock once the device has finished."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._began)

    def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        """Record the loss of the update."""
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))
