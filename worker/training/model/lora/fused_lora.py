"""One autograd function for a linear layer with a LoRA adapter: y = base(x) + scale · dropout(x) Aᵀ Bᵀ.

peft needs five operations per layer, casts A and B to the compute dtype in each micro-batch, and keeps the inputs after
dropout until the backward pass. Here, A and B are cast once per update, the low-rank product is added to the base's
output in place, and the backward pass recomputes the inputs after dropout from the mask. The base's weights are not
kept; the backward pass unpacks them again. lora_proof.py compares the function with peft on random tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import Linear, LoraLayer
from peft.tuners.lora.bnb import Linear4bit
from torch import Tensor, nn
from torch.nn import functional

from worker.training.compute.four_bit import unpack

_KINDS = (Linear, Linear4bit)
"""peft's layers that compute y as above. Their subclasses and peft's other layers, such as experts, do not."""


class AdapterCopies:
    """The adapter's weights in the compute dtype. In float32, these are the weights themselves."""

    def __init__(self, weights: Sequence[nn.Parameter], dtype: torch.dtype) -> None:
        self._weights: list[Tensor] = list(weights)
        self.tensors = [weight.detach().to(dtype) for weight in weights]
        """The copies, in the order of the weights. Their content changes, but not their memory."""
        self._needed = any(weight.dtype is not dtype for weight in weights)

    @torch.no_grad()
    def refresh(self) -> None:
        """Cast the weights again, without waiting for the device.

        Call this before each update and each evaluation: torch does not report whether a weight has changed, because fused optimizers
        do not increment its version counter.
        """
        if self._needed:
            torch._foreach_copy_(self.tensors, self._weights)  # torch's own optimizers use it


@dataclass(frozen=True)
class Plan:
    """The function's parameters for one layer."""

    base: Any
    """The frozen layer, without its adapter."""
    first: Tensor
    """A in the compute dtype: [rank, in_features]."""
    second: Tensor
    """B in the compute dtype: [out_features, rank]."""
    scale: float

    def __call__(self, inputs: Tensor, first: Tensor, second: Tensor, dropout: float) -> Tensor:
        """Return y [..., out_features] in the dtype of the inputs [..., in_features].

        `first` and `second` are the trained weights, which get the gradients. `dropout` is 0 outside of training.
        """
        outputs: Tensor = _Product.apply(  # type: ignore[no-untyped-call]  # untyped in torch
            inputs.to(self.first.dtype), first, second, self, dropout
        )
        return outputs.to(inputs.dtype)


class _Product(torch.autograd.Function):
    """Keeps the inputs, the dropout's mask, and the inputs times Aᵀ."""

    @staticmethod
    def forward(  # noqa: PLR0917  # torch passes the operands by position
        ctx: Any, inputs: Tensor, first: Tensor, second: Tensor, plan: Plan, dropout: float
    ) -> Tensor:
        outputs: Tensor = plan.base(inputs)
        flat = inputs.reshape(-1, inputs.shape[-1])
        dropped, mask = flat, None
        if dropout:
            # The operation that peft's dropout uses on a GPU; on a CPU it draws the same numbers.
            dropped, mask = torch.native_dropout(flat, dropout, train=True)
        low = functional.linear(dropped, plan.first)
        outputs.view(-1, outputs.shape[-1]).addmm_(low, plan.second.t(), alpha=plan.scale)
        ctx.plan, ctx.keep = plan, 1 / (1 - dropout)
        ctx.shape, ctx.types = inputs.shape, (first.dtype, second.dtype)
        # Let torch save them: activation checkpointing can then drop them, and a later change of the copies raises an
        # error.
        ctx.save_for_backward(flat, mask, low, plan.first, plan.second)
        return outputs

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        inputs, mask, low, first, second = ctx.saved_tensors
        needs_inputs, needs_first, needs_second = ctx.needs_input_grad[:3]
        plan, scale = ctx.plan, ctx.plan.scale
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        for_inputs = for_first = for_second = None
        # beta=0 ignores the first operand, so the scale does not need a separate operation.
        if needs_second:
            for_second = torch.addmm(second, gradient.t(), low, beta=0, alpha=scale)
            for_second = for_second.to(ctx.types[1])
        if needs_inputs or needs_first:
            for_low = torch.addmm(low, gradient, second, beta=0, alpha=scale)
        if needs_first:
            dropped = inputs if mask is None else _drop(inputs, mask, ctx.keep)
            for_first = (for_low.t() @ dropped).to(ctx.types[0])
        if needs_inputs:
            for_inputs = gradient @ unpack(plan.base)
            if mask is None:
                for_inputs.addmm_(for_low, first)
            else:
                for_inputs += _drop(for_low @ first, mask, ctx.keep)
            for_inputs = for_inputs.view(ctx.shape)
        return for_inputs, for_first, for_second, None, None


def _drop(values: Tensor, mask: Tensor, keep: float) -> Tensor:
    # The gradient of dropout is dropout with the same mask.
    dropped: Tensor = torch.ops.aten.native_dropout_backward(values, mask, keep)
    return dropped


def find_layers(body: Any) -> list[Any]:
    """Return the layers of the decoder for which the function can be used."""
    return [module for module in body.modules() if type(module) in _KINDS and _is_plain(module)]


def fuse(layers: Sequence[Any], dtype: torch.dtype) -> AdapterCopies:
    """Make the layers use the function; return the copies of their adapters, which the caller must refresh."""
    copies = AdapterCopies([weight for layer in layers for weight in weights_of(layer)], dtype)
    firsts, seconds = copies.tensors[::2], copies.tensors[1::2]
    for layer, first, second in zip(layers, firsts, seconds, strict=True):
        layer.plan = Plan(layer.base_layer, first, second, scale_of(layer))
        layer.forward = MethodType(_forward, layer)
    return copies


def weights_of(layer: Any) -> tuple[nn.Parameter, nn.Parameter]:
    """Return A and B of a layer with one adapter."""
    name = _name_of(layer)
    return layer.lora_A[name].weight, layer.lora_B[name].weight


def scale_of(layer: Any) -> float:
    """Return the factor of the low-rank product."""
    return float(layer.scaling[_name_of(layer)])


def dropout_of(layer: Any) -> float:
    """Return the share of inputs that the adapter drops; 0 outside of training."""
    dropout = layer.lora_dropout[_name_of(layer)]
    return float(dropout.p) if isinstance(dropout, nn.Dropout) and dropout.training else 0.0


def _forward(layer: Any, inputs: Tensor, *arguments: Any, **options: Any) -> Tensor:
    is_usual = layer.active_adapters == list(layer.lora_A) and not (
        arguments or options or layer.disable_adapters or layer.merged
    )
    if not is_usual:
        outputs: Tensor = type(layer).forward(layer, inputs, *arguments, **options)
        return outputs
    plan: Plan = layer.plan
    return plan(inputs, *weights_of(layer), dropout_of(layer))


def _name_of(layer: LoraLayer) -> str:
    (name,) = layer.lora_A
    return str(name)


def _is_plain(layer: Any) -> bool:
    """Return whether a layer has exactly one adapter, of plain LoRA without a bias."""
    if len(layer.lora_A) != 1 or layer.lora_variant:
        return False
    name = _name_of(layer)
    return all(
        type(part) is nn.Linear and part.bias is None
        for part in (layer.lora_A[name], layer.lora_B[name])
    )
