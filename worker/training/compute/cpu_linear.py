"""4-bit linear layers on a CPU: all layers unpack their weights into one shared buffer.

bitsandbytes unpacks into a new tensor in each forward and backward pass. Activations are kept from the forward to the
backward pass, so the freed tensors leave holes between them in the heap. glibc cannot reuse a hole for the next tensor
of the same size, because an aligned block needs slightly more space than the hole provides. The shared buffer
avoids this. The values are bit-identical, because bitsandbytes' own kernel does the unpacking. Nothing here is used
on a GPU.
"""

import ctypes
from collections.abc import Sequence
from functools import partial
from types import MethodType
from typing import Any

import torch
from bitsandbytes import functional as bitsandbytes_functional
from bitsandbytes.cextension import lib
from torch import Tensor
from torch.nn import functional

_KERNELS = {
    torch.float32: "cdequantize_blockwise_cpu_nf4_fp32",
    torch.bfloat16: "cdequantize_blockwise_cpu_nf4_bf16",
}


class SharedWeights:
    """The shared buffer. Its content is valid until the next layer is unpacked."""

    def __init__(self, layers: Sequence[Any], kernel: Any) -> None:
        dtype = layers[0].compute_dtype
        size = max(layer.weight.quant_state.shape.numel() for layer in layers)
        self._buffer = torch.empty(size, dtype=dtype)
        self._kernel = kernel

    def unpack(self, layer: Any) -> Tensor:
        """Return the layer's weights in its compute dtype: [out_features, in_features]."""
        packed, state = layer.weight.data, layer.weight.quant_state
        rows, columns = state.shape
        out = self._buffer[: rows * columns].view(rows, columns)
        scales = _scales(state)
        self._kernel(
            ctypes.c_void_p(packed.data_ptr()),
            ctypes.c_void_p(scales.data_ptr()),
            ctypes.c_void_p(out.data_ptr()),
            *(ctypes.c_longlong(number) for number in (state.blocksize, rows, columns)),
        )
        return out


def share_weights(layers: Sequence[Any], library: Any = lib) -> bool:
    """Make the layers unpack into one buffer. Returns False, without changes, if a layer or the library does not support this."""
    kernel = getattr(library, _KERNELS.get(layers[0].compute_dtype, ""), None)
    if kernel is None or not all(_is_plain(layer, layers[0].compute_dtype) for layer in layers):
        return False
    shared = SharedWeights(layers, kernel)
    first = layers[0]
    expected = bitsandbytes_functional.dequantize_4bit(first.weight.data, first.weight.quant_state)
    if not torch.equal(shared.unpack(first), expected.to(first.compute_dtype)):
        return False
    for layer in layers:
        layer.forward = MethodType(_forward, layer)
        layer.shared_weights = shared
        layer.unpack = partial(shared.unpack, layer)
    return True


def _is_plain(layer: Any, dtype: torch.dtype) -> bool:
    weight, state = layer.weight.data, layer.weight.quant_state
    return (
        weight.is_contiguous()
        and weight.device.type == "cpu"
        and state.quant_type == "nf4"
        and state.shape[1] % state.blocksize == 0
        and layer.compute_dtype is state.dtype is dtype
    )


def _scales(state: Any) -> Tensor:
    if not state.nested:
        scales: Tensor = state.absmax
        return scales
    unpacked: Tensor = bitsandbytes_functional.dequantize_blockwise(state.absmax, state.state2)
    unpacked += state.offset
    return unpacked.float()


def _forward(layer: Any, inputs: Tensor) -> Tensor:
    outputs: Tensor = _Product.apply(inputs.to(layer.compute_dtype), layer)  # type: ignore[no-untyped-call]  # untyped in torch
    return outputs.to(inputs.dtype)


class _Product(torch.autograd.Function):
    """Computes inputs · weightsᵀ + bias. The backward pass unpacks the weights again, because they are not kept."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: Any) -> Tensor:
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(inputs.dtype)
        return functional.linear(inputs, layer.shared_weights.unpack(layer), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.shared_weights.unpack(ctx.layer), None
