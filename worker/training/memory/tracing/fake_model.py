"""The model that will be trained, on fake tensors: real classes and shapes, but no weights and no allocated memory."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bitsandbytes
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module

from contracts.job import JobSpec
from worker.training.compute.device import Device
from worker.training.memory.tracing.fake_attention import UNMASKED
from worker.training.model.load import maskless_attention, uses_double_quant, wants_fused_lora
from worker.training.model.lora.adapter import add_adapter
from worker.training.model.lora.fused_lora import find_layers, fuse
from worker.training.model.proofs import CAPS_AND_SCALES, narrowest_window
from worker.training.model.trainable import TrainableModel

_SCALE_BLOCK = 64
"""Number of 4-bit weights that share one scale."""


class FakeLinear4bit(bitsandbytes.nn.Linear4bit):  # type: ignore[misc]  # bitsandbytes has no types
    """A 4-bit layer on fake tensors: holds packed weights and scales, and unpacks the weights for each product.

    It does not call bitsandbytes, because Params4bit cannot be created from a fake tensor.
    """

    def __init__(
        self, shape: tuple[int, int], bias: Any, dtype: torch.dtype, *, double_quant: bool
    ) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = shape
        self.bias = bias
        self.compute_dtype, self.quant_storage = dtype, torch.uint8
        count = self.out_features * self.in_features
        packed = torch.empty(-(-count // 2), 1, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        scale_dtype = torch.uint8 if double_quant else torch.float32
        self.scales = torch.empty(-(-count // _SCALE_BLOCK), dtype=scale_dtype)
        state = SimpleNamespace(shape=torch.Size(shape))
        facts = {"quant_state": state, "compress_statistics": double_quant, "quant_type": "nf4"}
        for name, value in facts.items():
            setattr(self.weight, name, value)
        self.shared: Tensor | None = None
        """The buffer into which all layers unpack on a CPU."""

    @property
    def packed_bytes(self) -> int:
        """The weights with their scales, as they are stored."""
        return self.weight.nbytes + self.scales.nbytes

    def unpack(self) -> Tensor:
        """Return the weights in the compute type: [out_features, in_features]."""
        shape = (self.out_features, self.in_features)
        if self.shared is not None:
            return self.shared[: shape[0] * shape[1]].view(shape)
        return torch.empty(shape, dtype=self.compute_dtype, device=self.weight.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs · weightsᵀ + bias in the inputs' type."""
        outputs: Tensor = _Product.apply(inputs.to(self.compute_dtype), self)  # type: ignore[no-untyped-call]  # untyped in torch
        return outputs.to(inputs.dtype)


class _Product(torch.autograd.Function):
    """Unpacks the weights again to compute the gradient of the inputs, as bitsandbytes does."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: FakeLinear4bit) -> Tensor:
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(inputs.dtype)
        return functional.linear(inputs, layer.unpack(), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.unpack(), None


@dataclass(frozen=True)
class Traits:
    """The properties found by the proofs that affect the memory of a step."""

    attention: str
    """sdpa (a dense mask), eager, or UNMASKED."""
    packs: bool
    plain_head: bool
    fuses_lora: bool = False

    @classmethod
    def expected(cls, directory: Path, spec: JobSpec, device: Device) -> "Traits":
        """Return the expected traits of a model that is not loaded yet."""
        config = _read_config(directory)
        text = config.get_text_config()
        return cls(
            attention="sdpa" if _expects_mask(config, spec, device) else UNMASKED,
            packs=True,
            plain_head=all(getattr(text, name, None) in {None, 1} for name in CAPS_AND_SCALES),
            fuses_lora=wants_fused_lora(spec, device, compiles=spec.engine.compile is True)[0],
        )

    @classmethod
    def of(cls, model: TrainableModel) -> "Traits":
        """Return the traits of a loaded model."""
        known = model.attention in {"sdpa", "eager"}
        return cls(
            model.attention if known else UNMASKED,
            model.packs,
            model.plain_head,
            model.copies is not None,
        )


def build_fake_model(
    directory: Path, spec: JobSpec, device: Device, traits: Traits
) -> TrainableModel:
    """Return the model with its adapter on fake tensors of the device. Call it under FakeTensorMode."""
    config = _read_config(directory)
    double_quant = uses_double_quant(directory, spec)
    with torch.device(device.torch_device):
        with no_init_weights():
            base = AutoModelForCausalLM.from_config(
                config,
                dtype=device.compute_dtype,
                attn_implementation=traits.attention,
            )
        base.tie_weights()  # not done when a model is built without initial weights
        base.config.use_cache = False
        base.requires_grad_(requires_grad=False)
        layers = [] if spec.engine.dequantize_base is True else _quantize(base, double_quant)
        shares = bool(layers) and not device.is_cuda and spec.engine.compile is not True
        base.is_loaded_in_4bit = bool(layers)  # peft uses it to choose its layers
        if shares:
            _share(layers)
        body, head = base.get_decoder(), base.get_output_embeddings()
        with torch.device("meta"):  # peft would move layers on a real device
            peft_model = add_adapter(base, body, spec.lora)
        _materialize(peft_model)
        layers_to_fuse = find_layers(body) if traits.fuses_lora else []
        copies = fuse(layers_to_fuse, device.compute_dtype) if layers_to_fuse else None
    trainable, total = peft_model.get_nb_trainable_parameters()
    return TrainableModel(
        peft_model=peft_model,
        body=body,
        head=head,
        device=device,
        double_quant=double_quant,
        dequantized=not layers,
        quantized_layers=len(layers),
        linear_parameters=sum(layer.in_features * layer.out_features for layer in layers),
        expert_parameters=0,
        trainable_parameters=trainable,
        all_parameters=total,
        attention=traits.attention,
        mask_reason="",
        shares_unpacking=shares,
        packs=traits.packs,
        plain_head=traits.plain_head,
        copies=copies,
        fused_reason="",
        compiled=False,
        compile_reason="",
    )


def _read_config(directory: Path) -> Any:
    return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def _expects_mask(config: Any, spec: JobSpec, device: Device) -> bool:
    window = narrowest_window(config) or spec.training.max_length
    can_avoid = maskless_attention(device, compiles=spec.engine.compile is True) is not None
    return not can_avoid or window < spec.training.max_length


def _quantize(base: Any, double_quant: bool) -> list[FakeLinear4bit]:
    """Replace the layers that transformers stores in 4 bits; return the replacements."""
    kept = HfQuantizer.get_modules_to_not_convert(base, None, base._keep_in_fp32_modules)  # noqa: SLF001
    layers = []
    for name, module in list(base.named_modules()):
        if not isinstance(module, Conv1D) and type(module) is not nn.Linear:
            continue
        if should_convert_module(name, kept):
            weight = module.weight.t() if isinstance(module, Conv1D) else module.weight
            shape, dtype = tuple(weight.shape), weight.dtype
            layer = FakeLinear4bit(shape, module.bias, dtype, double_quant=double_quant)
            base.set_submodule(name, layer)
            layers.append(layer)
    return layers


def _share(layers: list[FakeLinear4bit]) -> None:
    largest = max(layer.in_features * layer.out_features for layer in layers)
    shared = torch.empty(largest, dtype=layers[0].compute_dtype)
    for layer in layers:
        layer.shared = shared


def _materialize(peft_model: Any) -> None:
    """Create the adapter's weights on the current device, in float32 as the engine keeps them."""
    for module in list(peft_model.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                created = torch.empty(parameter.shape, dtype=torch.float32)
                setattr(module, name, nn.Parameter(created, requires_grad=parameter.requires_grad))
