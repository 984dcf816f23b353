"""Verifies with random tokens that each layer's fused LoRA function returns the same results as peft."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from worker.training.compute.device import Device
from worker.training.model.lora.fused_lora import (
    AdapterCopies,
    Plan,
    dropout_of,
    find_layers,
    fuse,
    scale_of,
    weights_of,
)

_TOKENS = 16
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Accepted relative differences. In bfloat16, peft rounds the base's outputs before it adds the adapter's; the function
rounds once."""
_COMPARED = ("outputs", "gradient of the inputs", "gradient of A", "gradient of B")


def fuse_if_proven(body: Any, device: Device) -> tuple[AdapterCopies | None, str]:
    """Switch all eligible decoder layers to the fused function, provided that the check succeeds for each of them.

    Return the copies of the adapter, or None, and the reason.
    """
    layers = find_layers(body)
    if not layers:
        return None, "no layer of this model has a plain LoRA adapter"
    for layer in layers:
        problem = _find_difference(layer, device)
        if problem is not None:
            return None, problem
    reason = f"on all {len(layers)} layers, outputs and gradients for random tokens were the same as with peft"
    return fuse(layers, device.compute_dtype), reason


def _find_difference(layer: Any, device: Device) -> str | None:
    """Return how the function's results for a layer differ from peft's; None if they do not."""
    operands = inputs, first, second = _random_operands(layer, device)
    copies = [weight.detach().to(device.compute_dtype) for weight in (first, second)]
    plan = Plan(layer.base_layer, copies[0], copies[1], scale_of(layer))
    (name,) = layer.lora_A
    weights = {f"lora_A.{name}.weight": first, f"lora_B.{name}.weight": second}
    try:
        with _with_dropout(layer):
            expected = _results(
                lambda: torch.func.functional_call(layer, weights, (inputs,)), operands, device
            )
            found = _results(
                lambda: plan(inputs, first, second, dropout_of(layer)), operands, device
            )
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        return f"the fused function failed: {type(error).__name__}: {error}"[:300]
    for what, own, peft in zip(_COMPARED, found, expected, strict=True):
        wrong = float((own.float() - peft.float()).norm() / peft.float().norm())
        if not wrong <= _TOLERANCES[device.compute_dtype]:
            return f"the fused function returned a different result ({what}: relative difference {wrong:.2g})"
    return None


def _random_operands(layer: Any, device: Device) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs [1, T, in_features], A and B, chosen so that the adapter contributes as much to the outputs as the base."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device.torch_device)

    first, second = (draw(*weight.shape) for weight in weights_of(layer))
    inputs = draw(1, _TOKENS, first.shape[1]).to(device.compute_dtype)
    with torch.no_grad():
        base = layer.base_layer(inputs).float().norm()
        own = scale_of(layer) * (inputs.float() @ first.t() @ second.t()).norm()
        second *= base / own
    return inputs.requires_grad_(), first.requires_grad_(), second.requires_grad_()


def _results(
    compute: Callable[[], Tensor], operands: tuple[Tensor, ...], device: Device
) -> tuple[Tensor, ...]:
    """Return the outputs and the operands' gradients, computed with the same random numbers each time."""
    with torch.random.fork_rng([device.torch_device] if device.is_cuda else []):
        torch.manual_seed(0)
        with device.autocast():
            outputs = compute()
        direction = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))
        return outputs.detach(), *torch.autograd.grad(outputs, operands, direction.to(outputs))


@contextlib.contextmanager
def _with_dropout(layer: Any) -> Iterator[None]:
    """Enable the adapter's dropout, as in training."""
    dropouts: nn.ModuleDict = layer.lora_dropout
    before = dropouts.training
    dropouts.train()
    try:
        yield
    finally:
        dropouts.train(before)
