"""Unpacks the base's 4-bit layers for good, and verifies with random inputs that each layer computes the same as before."""

from collections.abc import Iterator
from typing import Any

import bitsandbytes
import torch
from torch import Tensor

from worker.training.compute.device import Device
from worker.training.model.proofs import close

_TOKENS = 4
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
"""Accepted relative differences. The weights are the same, but the kernels may add up the products in another order."""


def find_4bit_layers(base: Any) -> Iterator[tuple[str, Any]]:
    """Yield each 4-bit layer and its name."""
    for name, module in base.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            yield name, module


def unpack(base: Any, device: Device) -> tuple[Any, str | None]:
    """Return the base with its 4-bit layers in the compute type, and what they compute differently; None if nothing.

    The packed layers are gone then, so if there is a difference, load the base again.
    """
    expected = {name: _results(layer, device) for name, layer in find_4bit_layers(base)}
    base = base.dequantize(dtype=device.compute_dtype)
    base.requires_grad_(requires_grad=False)
    for name, results in expected.items():
        pairs = zip(_results(base.get_submodule(name), device), results, strict=True)
        if not all(close(*pair, _TOLERANCES[device.compute_dtype]) for pair in pairs):
            return base, f"unpacked, the layer {name} computes a different output or gradient"
    return base, None


def _results(layer: Any, device: Device) -> tuple[Tensor, Tensor]:
    """Return the layer's output for random inputs, and the gradient of the inputs."""
    generator = torch.Generator().manual_seed(0)

    def draw(width: int) -> Tensor:
        drawn = torch.randn((1, _TOKENS, width), generator=generator)
        return drawn.to(device.torch_device, device.compute_dtype)

    inputs = draw(layer.in_features).requires_grad_()
    output: Tensor = layer(inputs)
    (gradient,) = torch.autograd.grad(output, inputs, draw(layer.out_features).to(output))
    return output.detach(), gradient
