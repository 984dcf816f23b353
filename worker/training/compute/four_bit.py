"""bitsandbytes: imports it without torch's compiler, and unpacks the weights of a layer."""

import importlib
from typing import Any
from unittest import mock

import torch
from torch import Tensor


def import_bitsandbytes() -> None:
    """Import bitsandbytes before transformers or peft import it.

    bitsandbytes decorates functions of its fallback backend with torch.compile, which loads the whole compiler and takes
    a fifth of this program's startup time. If compiling fails, bitsandbytes runs them uncompiled, so leaving them uncompiled is safe.
    """
    with mock.patch.object(torch, "compile", _leave_uncompiled):
        importlib.import_module("bitsandbytes")


def unpack(layer: Any) -> Tensor:
    """Return the weights of a linear layer in its compute dtype: [out_features, in_features].

    The result of a layer's own `unpack` is valid only until the next layer is unpacked (see cpu_linear.py).
    """
    from bitsandbytes import functional  # noqa: PLC0415 - only after import_bitsandbytes()

    own = getattr(layer, "unpack", None)
    state = getattr(layer.weight, "quant_state", None)
    weights: Tensor
    if own is not None:
        weights = own()
    elif state is None:  # unpacked once (engine.dequantize_base)
        weights = layer.weight
    else:
        weights = functional.dequantize_4bit(layer.weight.data, state).to(layer.compute_dtype)
    return weights


def _leave_uncompiled(function: Any = None, **_options: Any) -> Any:
    return _leave_uncompiled if function is None else function
