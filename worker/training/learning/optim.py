"""The optimizer, and the learning rate as a pure function of the step, which matches transformers' schedules."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from contracts.job import OnOffAuto, TrainingSpec


def is_fused(setting: OnOffAuto, device: torch.device) -> bool:
    """Return whether a fused kernel updates the whole adapter."""
    return device.type == "cuda" if setting == "auto" else setting


def build_optimizer(
    parameters: Iterable[Parameter],
    training: TrainingSpec,
    *,
    fused: bool = False,
) -> torch.optim.AdamW:
    """Return AdamW over the adapter, with its memory allocated; the caller sets the learning rate before each step."""
    adapter = list(parameters)
    optimizer = torch.optim.AdamW(
        adapter,
        lr=training.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=training.weight_decay,
        fused=fused,
    )
    _reserve(optimizer, adapter)
    return optimizer


def _reserve(optimizer: torch.optim.AdamW, adapter: Sequence[Parameter]) -> None:
    """Allocate gradients and moments, all zero, before the first update.

    If the first update allocated them, between activations, they would fragment the heap with holes too small for large
    tensors, and the measured free memory of a GPU would not account for them.
    """
    for parameter in adapter:
        parameter.grad = torch.zeros_like(parameter)
        on_device = parameter.device if optimizer.defaults["fused"] else torch.device("cpu")
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=on_device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }


def restore_moments(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Copy values with keys `PARAMETER_NUMBER.NAME_IN_ITS_STATE` into the memory already allocated for the state."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in saved.items():
        number, _, key = name.partition(".")
        optimizer.state[parameters[int(number)]][key].copy_(value)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def warmup_steps(training: TrainingSpec, total_steps: int) -> int:
    """Return the number of warm-up steps: a count as given, or a share of the run's steps, rounded up."""
    warmup = training.warmup_steps
    return warmup if isinstance(warmup, int) else math.ceil(warmup * total_steps)


def learning_rate(training: TrainingSpec, step: int, total_steps: int) -> float:
    """Return the rate that optimizer step `step` (from 1) of `total_steps` uses.

    With a warm-up the first step's rate is 0, and the peak is reached by step warmup + 1, as in transformers.
    """
    done = step - 1
    warmup = warmup_steps(training, total_steps)
    if done < warmup:
        return training.learning_rate * done / warmup
    if training.lr_scheduler == "constant":
        return training.learning_rate
    progress = (done - warmup) / max(1, total_steps - warmup)
    if training.lr_scheduler == "linear":
        return training.learning_rate * max(0.0, 1.0 - progress)
    return training.learning_rate * max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
