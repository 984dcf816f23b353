"""The model: a frozen NF4 base with a LoRA adapter in float32. proofs.py verifies the engine's assumptions about it.

`prepare_model_for_kbit_training` is not called: it would keep the embeddings in float32, and `get_peft_model` already
freezes the same parameters.
"""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    set_seed,
)

from contracts.failure import FailureReason
from contracts.job import JobSpec
from worker.training.compute.cpu_linear import share_weights
from worker.training.compute.device import Device
from worker.training.errors import TrainingError
from worker.training.model.compiled import compile_if_proven
from worker.training.model.files import count_parameters
from worker.training.model.length import longest_packed
from worker.training.model.lora.adapter import add_adapter, check_targets
from worker.training.model.lora.fused_lora import AdapterCopies
from worker.training.model.lora.lora_proof import fuse_if_proven
from worker.training.model.proofs import (
    attention_of,
    check_causal,
    narrowest_window,
    prefer,
    prove,
)
from worker.training.model.refusal import refusing
from worker.training.model.segments import SEGMENTS
from worker.training.model.trainable import TrainableModel
from worker.training.model.unpacking import find_4bit_layers, unpack
from worker.training.model.varlen import LEAST_CAPABILITY, VARLEN

DOUBLE_QUANT_FROM = 3_000_000_000
"""`auto` also quantizes the scales of models with at least this many parameters. For smaller models, that saves little
memory and adds kernels per layer."""


def load_model(
    directory: Path, spec: JobSpec, device: Device, *, dequantizes: bool = False
) -> TrainableModel:
    """Load the base in 4-bit precision, set the seed, and add the adapter. The directory's files must have been checked.

    `dequantizes` replaces `auto` in `engine.dequantize_base`.
    """
    setting = spec.engine.dequantize_base
    dequantizes = dequantizes if setting == "auto" else setting
    double_quant = uses_double_quant(directory, spec)
    base, quantized = _load_packed(directory, device, double_quant=double_quant)
    check_targets(base, spec.lora)
    unpacking_proof = ""
    if dequantizes:
        unpacking_proof = "outputs and gradients of each layer for random inputs stayed the same"
        base, difference = unpack(base, device)
        if difference is not None:
            dequantizes, unpacking_proof = False, difference
            del base, quantized  # before the weights are loaded again
            base, quantized = _load_packed(directory, device, double_quant=double_quant)
    unpacks_itself = dequantizes or spec.engine.compile is True
    shares_unpacking = not device.is_cuda and not unpacks_itself and share_weights(quantized)
    base.name_or_path = base.config.name_or_path = spec.model  # keep local paths out of saved files
    set_seed(spec.training.seed)
    with refusing(
        "the architecture cannot be trained, at least not with these lora.target_modules"
    ):
        body, head = base.get_decoder(), base.get_output_embeddings()
        peft_model = add_adapter(base, body, spec.lora)
        packs, plain_head = prove(base, body, head)
        packs = packs and spec.training.max_length <= (longest_packed(base.config) or math.inf)
        check_causal(body, head)
        window = narrowest_window(base.config) or spec.training.max_length
        covers_samples = window >= spec.training.max_length
        unmasked = maskless_attention(device, compiles=spec.engine.compile is True)
        mask_reason: str | None = "attention without a mask is not available for this device"
        if unmasked is not None:
            mask_reason = "the samples are not packed, or longer than the attention window"
            if packs and covers_samples:
                mask_reason = prefer(unmasked, base, body, head)
        compiles = spec.engine.compile is True
        copies, fused_reason = _fuse_lora(body, spec, device, compiles=compiles)
        compiled, compile_reason = _compile(body, head, spec, device)
        if compiles and not compiled and copies is None:
            copies, fused_reason = _fuse_lora(body, spec, device, compiles=False)
    trainable, total = peft_model.get_nb_trainable_parameters()
    return TrainableModel(
        peft_model=peft_model,
        body=body,
        head=head,
        device=device,
        double_quant=double_quant,
        dequantized=dequantizes,
        unpacking_proof=unpacking_proof,
        quantized_layers=len(quantized),
        linear_parameters=sum(layer.in_features * layer.out_features for layer in quantized),
        expert_parameters=sum(
            p.numel() for n, p in base.named_parameters() if ".experts." in n and p.ndim == 3
        ),
        trainable_parameters=trainable,
        all_parameters=total,
        attention=attention_of(base),
        mask_reason=mask_reason or "",
        shares_unpacking=shares_unpacking,
        packs=packs,
        plain_head=plain_head,
        copies=copies,
        fused_reason=fused_reason,
        compiled=compiled,
        compile_reason=compile_reason,
    )


def _load_packed(directory: Path, device: Device, *, double_quant: bool) -> tuple[Any, list[Any]]:
    """Return the base and its 4-bit layers."""
    base = _load_base(directory, device, double_quant=double_quant)
    quantized = [layer for _, layer in find_4bit_layers(base)]
    _keep_training_layout(quantized)
    _check_quantized(quantized)
    return base, quantized


def wants_fused_lora(spec: JobSpec, device: Device, *, compiles: bool) -> tuple[bool, str]:
    """Return whether to use the fused LoRA function if it passes its proof, and the reason."""
    setting = spec.engine.fused_lora
    if setting == "auto" and compiles:
        return False, "off, because torch.compile fuses the operations of the adapter itself"
    if setting == "auto":
        return (
            device.is_cuda,
            "" if device.is_cuda else "off on a CPU, where its gain has not been measured",
        )
    return setting, "set by engine.fused_lora"


def uses_double_quant(directory: Path, spec: JobSpec) -> bool:
    """Return whether the scales are quantized too."""
    setting = spec.quantization.double_quant
    if setting != "auto":
        return setting
    return count_parameters(directory) >= DOUBLE_QUANT_FROM


def _load_base(directory: Path, device: Device, *, double_quant: bool) -> Any:
    with refusing("the model cannot be loaded"):
        base, info = _from_pretrained(directory, device, double_quant=double_quant)
    wrong = [str(key) for kind in ("missing_keys", "mismatched_keys") for key in info[kind]]
    if wrong:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            "the weight files are missing weights that the architecture needs, or contain weights with the wrong shape: "
            f"{', '.join(sorted(wrong)[:5])}",
            evidence={"wrong_weights": len(wrong)},
        )
    base.config.use_cache = False  # with a cache, packed samples would attend to each other
    base.requires_grad_(requires_grad=False)
    return base


def _from_pretrained(directory: Path, device: Device, *, double_quant: bool) -> Any:
    try:
        return _load(directory, device, double_quant=double_quant, attention="sdpa")
    except ValueError as error:
        if "attn_implementation" not in str(error):
            raise
        # The architecture does not support SDPA.
        return _load(directory, device, double_quant=double_quant, attention="eager")


def maskless_attention(device: Device, *, compiles: bool) -> str | None:
    """Return the attention without a mask to try on this device, or None."""
    if not device.is_cuda:
        return None if compiles else SEGMENTS
    has_kernel = device.capability >= LEAST_CAPABILITY and device.compute_dtype is torch.bfloat16
    return VARLEN if has_kernel else None


def _load(directory: Path, device: Device, *, double_quant: bool, attention: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        directory,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double_quant,
            bnb_4bit_compute_dtype=device.compute_dtype,
        ),
        dtype=device.compute_dtype,
        # Set explicitly, so that config.json cannot name a kernel to download.
        attn_implementation=attention,
        device_map={"": device.torch_device},
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )


def _keep_training_layout(layers: list[Any]) -> None:
    """Keep bitsandbytes from using its inference layout for CPUs with AVX512-BF16.

    Otherwise, the first evaluation would repack every layer in place, with its scales rounded to bfloat16. Later training steps
    would then not get a gradient through those layers, with only a warning.
    """
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False


def _check_quantized(layers: list[Any]) -> None:
    if not layers:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            "the architecture has no linear layer that can be stored in 4 bits and adapted with LoRA",
        )
    unpacked = [layer for layer in layers if layer.weight.dtype is not torch.uint8]
    if unpacked:
        raise TrainingError(
            FailureReason.DEVICE_FAILED,
            f"{len(unpacked)} of {len(layers)} layers were not packed into 4 bits",
        )
    for layer in layers:  # transformers does not check the shapes of quantized layers
        shape = tuple(layer.weight.quant_state.shape)
        if shape != (layer.out_features, layer.in_features):
            raise TrainingError(
                FailureReason.MODEL_REFUSED,
                f"the weights do not match config.json: a linear layer of {layer.in_features} × {layer.out_features} "
                f"has weights of {shape[1]} × {shape[0]}",
            )


def _fuse_lora(
    body: Any, spec: JobSpec, device: Device, *, compiles: bool
) -> tuple[AdapterCopies | None, str]:
    wanted, reason = wants_fused_lora(spec, device, compiles=compiles)
    if not wanted:
        return None, reason
    copies, proof = fuse_if_proven(body, device)
    return copies, "; ".join(filter(None, (reason, proof)))


def _compile(body: Any, head: Any, spec: JobSpec, device: Device) -> tuple[bool, str]:
    if spec.engine.compile == "auto":
        return False, "off by default, because the gain has not been measured"
    if not spec.engine.compile:
        return False, "set by engine.compile"
    compiled, proof = compile_if_proven(body, head, device)
    return compiled, f"set by engine.compile; {proof}"
