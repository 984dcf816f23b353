"""The optimizer, and the learning rate as a pure function of the step, which matches transformers' schedules."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from contracts.job import OnOffAuto, TrainingSpec
from worker.training.compute.cuda_errors import is_device_failure, is_out_of_memory

FUSED_TOLERANCE = 1e-4
"""Relative difference allowed between the fused and the plain updates of random float32 weights; rounding causes 1e-6."""


def choose_fused(setting: OnOffAuto, device: torch.device) -> tuple[bool, str]:
    """Return whether a fused kernel updates the whole adapter, and why.

    It must compute the same updates as the plain optimizer for random weights and gradients.
    """
    wanted = device.type == "cuda" if setting == "auto" else setting
    reason = "only on a GPU" if setting == "auto" else "set by engine.fused_optimizer"
    if not wanted:
        return False, reason
    problem = _find_difference(device)
    proof = problem or "its updates of random weights were the same as those of the plain optimizer"
    return problem is None, f"{reason}; {proof}"


def _find_difference(device: torch.device) -> str | None:
    """Return how fused updates differ from plain ones; None if they are the same."""
    try:
        pairs = list(zip(_updates(device, fused=True), _updates(device, fused=False), strict=True))
    except (RuntimeError, ValueError, TypeError) as error:
        if is_device_failure(error) or is_out_of_memory(error):
            raise
        return f"the fused kernel failed: {type(error).__name__}: {error}"[:300]
    same = all((a - b).norm() <= FUSED_TOLERANCE * b.norm() for a, b in pairs)
    return None if same else "the fused kernel computed different updates"


def _updates(device: torch.device, *, fused: bool) -> list[Tensor]:
    """Return what two updates with random gradients add to random weights, and the moments after them."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    weights = [Parameter(draw(16, 300)), Parameter(draw(300, 16))]
    before = [weight.detach().clone() for weight in weights]
    training = TrainingSpec(learning_rate=0.1, weight_decay=0.1)
    optimizer = build_optimizer(weights, training, fused=fused)
    for _ in range(2):
        for weight in weights:
            weight.grad = draw(*weight.shape)
        optimizer.step()
    moments = [optimizer.state[w][name] for w in weights for name in ("exp_avg", "exp_avg_sq")]
    return [w.detach() - old for w, old in zip(weights, before, strict=True)] + moments


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
