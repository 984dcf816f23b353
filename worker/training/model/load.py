"""The model: an NF4 base that is frozen, and a LoRA adapter in float32 on top. What the engine relies on is in proofs.py.

`prepare_model_for_kbit_training` is not called: it would hold the embeddings in float32 and freeze nothing that
`get_peft_model` does not freeze.
"""

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bitsandbytes
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    set_seed,
)
from transformers.utils import is_flash_attn_2_available

from contracts.failure import FailureReason
from contracts.job import JobSpec
from worker.training.compute.cpu_linear import share_weights
from worker.training.compute.device import Device
from worker.training.data.batches import MicroBatch
from worker.training.errors import TrainingError
from worker.training.model.adapter import add_adapter, check_targets
from worker.training.model.files import count_parameters
from worker.training.model.proofs import (
    VARLEN,
    attention_of,
    check_causal,
    hidden_states,
    narrowest_window,
    prefer_segments,
    prove_best,
)
from worker.training.model.rope import longest_dynamic, longest_packed

DOUBLE_QUANT_FROM = 3_000_000_000
"""Parameters from which `auto` quantises the scales too: below, it saves little and costs kernels in every layer."""

_BAD_FILES = (
    ValueError,
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises over a config.json or weights that do not fit."""


_NOT_THE_MODELS = ("DefaultCPUAllocator", "Cannot allocate memory", "CUDA", "CUBLAS", "cuDNN")
"""Words of errors that are the machine's, whatever their type."""


@dataclass(frozen=True)
class TrainableModel:
    """A base with its adapter, ready to train."""

    peft_model: Any
    body: Any
    """The decoder without its head, LoRA layers included."""
    head: nn.Linear
    device: Device
    double_quant: bool
    quantized_layers: int
    linear_parameters: int
    """Of the layers held in 4 bits."""
    expert_parameters: int
    """Of experts that are one tensor a layer, held in the compute type: only linear layers are held in 4 bits."""
    trainable_parameters: int
    all_parameters: int
    attention: str
    """Its name in transformers: flash_attention_2 (a varlen kernel), stepline_segments, sdpa or eager."""
    shares_unpacking: bool
    """Whether the 4-bit layers unpack into one buffer (see compute/cpu_linear.py)."""
    packs: bool
    """Whether samples packed into one row stay apart."""
    plain_head: bool
    """Whether the logits are exactly head(hidden): no soft-capping, no scaling."""

    @property
    def adapter_parameters(self) -> list[nn.Parameter]:
        """What is trained, in a fixed order."""
        return [p for p in self.peft_model.parameters() if p.requires_grad]

    @property
    def config(self) -> Any:
        """The base model's configuration."""
        return self.peft_model.get_base_model().config

    def hidden(self, batch: MicroBatch) -> Tensor:
        """Return the last hidden states where a supervised token is predicted: [N, hidden]."""
        with self._autocast():
            states = hidden_states(self.body, batch.input_ids, batch.position_ids)
        return states[0].index_select(0, batch.places)

    def logits(self, batch: MicroBatch) -> Tensor:
        """Return the logits there through the model's own forward, for heads that are not plain: [N, vocabulary]."""
        with self._autocast():
            output = self.peft_model(
                input_ids=batch.input_ids,
                position_ids=batch.position_ids,
                attention_mask=None,
                use_cache=False,
                logits_to_keep=batch.places,
            )
        logits: Tensor = output.logits[0]
        return logits

    def checkpoint_activations(self) -> None:
        """Keep one activation per layer and recompute the others in the backward pass."""
        self.peft_model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})

    def _autocast(self) -> AbstractContextManager[object]:
        # The float32 adapter multiplies in the compute type, as it does under transformers' Trainer.
        if self.device.compute_dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.torch_device.type, dtype=self.device.compute_dtype)


def load_tokenizer(directory: Path) -> Any:
    """Return the model's fast tokenizer."""
    with _refusing("its tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    if not tokenizer.is_fast:
        raise TrainingError(
            FailureReason.MODEL_REFUSED, "its tokenizer has no tokenizer.json (a fast tokenizer)"
        )
    # Where the files are missing, transformers makes one that knows little but special tokens.
    if len(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)) < 2:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            "its tokenizer has no vocabulary: tokenizer.json is missing or holds none; copy the model again",
        )
    return tokenizer


def load_model(directory: Path, spec: JobSpec, device: Device) -> TrainableModel:
    """Load the base in 4 bits, seed, and add the adapter. The directory's files have been checked."""
    double_quant = _double_quant(directory, spec)
    base = _load_base(directory, device, double_quant=double_quant)
    quantized = list(_linear_4bit(base))
    _keep_training_layout(quantized)
    _check_quantized(quantized)
    check_targets(base, spec.lora)
    unpacks_itself = spec.engine.dequantize_base is True or spec.engine.compile is True
    shares_unpacking = not device.is_cuda and not unpacks_itself and share_weights(quantized)
    if spec.engine.dequantize_base is True:
        base = base.dequantize(dtype=device.compute_dtype)
        base.requires_grad_(requires_grad=False)
    base.name_or_path = base.config.name_or_path = spec.model  # no machine's path in what is saved
    set_seed(spec.training.seed)
    with _refusing("the architecture cannot be trained, with these lora.target_modules at least"):
        body, head = base.get_decoder(), base.get_output_embeddings()
        peft_model = add_adapter(base, body, spec.lora)
        packs, plain_head = prove_best(base, body, head)
        packs = packs and spec.training.max_length <= (longest_packed(base.config) or math.inf)
        if spec.engine.compile is True:
            _compile(body)
        check_causal(body, head)
        looks_back = narrowest_window(base.config) or spec.training.max_length
        is_whole = looks_back >= spec.training.max_length
        if packs and is_whole and not device.is_cuda and spec.engine.compile is not True:
            prefer_segments(base, body, head)
    trainable, total = peft_model.get_nb_trainable_parameters()
    return TrainableModel(
        peft_model=peft_model,
        body=body,
        head=head,
        device=device,
        double_quant=double_quant,
        quantized_layers=len(quantized),
        linear_parameters=sum(layer.in_features * layer.out_features for layer in quantized),
        expert_parameters=sum(
            p.numel() for n, p in base.named_parameters() if ".experts." in n and p.ndim == 3
        ),
        trainable_parameters=trainable,
        all_parameters=total,
        attention=attention_of(base),
        shares_unpacking=shares_unpacking,
        packs=packs,
        plain_head=plain_head,
    )


def check_length(directory: Path, spec: JobSpec) -> None:
    """Refuse samples longer than the model has positions for, or than it encodes the same wherever they stand."""
    with _refusing("config.json cannot be loaded"):
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
        positions, unchanging = _positions(config), longest_dynamic(config)
    if unchanging is not None and spec.training.max_length > unchanging:
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            f"training.max_length is {spec.training.max_length}, but beyond {unchanging} positions this model's dynamic "
            f"RoPE encodes a sample by the longest one computed before it: set max_length to {unchanging} or less",
            evidence={
                "max_length": spec.training.max_length,
                "max_position_embeddings": unchanging,
            },
        )
    if positions is not None and spec.training.max_length > positions:
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            f"training.max_length is {spec.training.max_length}, but the model has {positions} positions",
            evidence={
                "max_length": spec.training.max_length,
                "max_position_embeddings": positions,
            },
        )


def _positions(config: Any) -> int | None:
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if not isinstance(positions, int):
        return None
    scaling = getattr(text, "rope_parameters", None) or {}
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if not isinstance(factor, int | float):
        return positions
    return max(positions, int(factor * (original or positions)))


def check_vocabulary(model: TrainableModel, largest_token: int) -> None:
    """Refuse token ids that the embeddings do not have: tokenizer and weights do not belong together."""
    known = model.peft_model.get_base_model().get_input_embeddings().num_embeddings
    if largest_token >= known:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            f"its tokenizer gives the token {largest_token}, but the weights know {known} tokens only: they do not "
            "belong together",
            evidence={"token": largest_token, "embeddings": known},
        )


@contextlib.contextmanager
def _refusing(told: str) -> Iterator[None]:
    """Tell what transformers raises over a model as the model's refusal, but want of memory and a GPU's error as such."""
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except _BAD_FILES as error:
        if any(words in str(error) for words in _NOT_THE_MODELS):
            raise
        raise TrainingError(
            FailureReason.MODEL_REFUSED, f"{told}: {type(error).__name__}: {error}"
        ) from error


def _double_quant(directory: Path, spec: JobSpec) -> bool:
    asked = spec.quantization.double_quant
    if asked != "auto":
        return asked
    return count_parameters(directory) >= DOUBLE_QUANT_FROM


def _load_base(directory: Path, device: Device, *, double_quant: bool) -> Any:
    with _refusing("the model cannot be loaded"):
        base, info = _from_pretrained(directory, device, double_quant=double_quant)
    wrong = [str(key) for kind in ("missing_keys", "mismatched_keys") for key in info[kind]]
    if wrong:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            f"the weights file lacks weights of the architecture or has them in another shape: "
            f"{', '.join(sorted(wrong)[:5])}",
            evidence={"wrong_weights": len(wrong)},
        )
    base.config.use_cache = False  # with a cache, packed samples would see each other
    base.requires_grad_(requires_grad=False)
    return base


def _from_pretrained(directory: Path, device: Device, *, double_quant: bool) -> Any:
    *preferred, last = attentions(device, varlen_installed=is_flash_attn_2_available())
    for attention in preferred:
        try:
            return _load(directory, device, double_quant=double_quant, attention=attention)
        except ValueError as error:
            if not any(words in str(error) for words in ("attn_implementation", "Flash Attention")):
                raise  # else: this architecture lacks that attention
    return _load(directory, device, double_quant=double_quant, attention=last)


def attentions(device: Device, *, varlen_installed: bool) -> list[str]:
    """Return the attentions to try, best first. A varlen kernel needs no dense mask, but bfloat16 on a GPU."""
    varlen = varlen_installed and device.is_cuda and device.compute_dtype is torch.bfloat16
    return [*([VARLEN] if varlen else []), "sdpa", "eager"]


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
        # Said outright, so that a config.json cannot name a kernel to be fetched.
        attn_implementation=attention,
        device_map={"": device.torch_device},
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )


def _linear_4bit(base: Any) -> Iterator[Any]:
    return (m for m in base.modules() if isinstance(m, bitsandbytes.nn.Linear4bit))


def _keep_training_layout(layers: list[Any]) -> None:
    """Forbid bitsandbytes its inference layout for CPUs with AVX512-BF16.

    The first evaluation would repack every layer in place, with its scales rounded to bfloat16, and later training
    steps would get no gradient through those layers, with no more than a warning.
    """
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False


def _check_quantized(layers: list[Any]) -> None:
    if not layers:
        raise TrainingError(
            FailureReason.MODEL_REFUSED,
            "the architecture has no linear layer that can be held in 4 bits and given a LoRA",
        )
    unpacked = [layer for layer in layers if layer.weight.dtype is not torch.uint8]
    if unpacked:
        raise TrainingError(
            FailureReason.DEVICE_UNUSABLE,
            f"{len(unpacked)} of {len(layers)} layers were not packed into 4 bits",
        )
    for layer in layers:  # transformers does not compare the shapes of what it quantises
        shape = tuple(layer.weight.quant_state.shape)
        if shape != (layer.out_features, layer.in_features):
            raise TrainingError(
                FailureReason.MODEL_REFUSED,
                f"the weights do not fit config.json: a linear layer of {layer.in_features} × {layer.out_features} "
                f"got weights of {shape[1]} × {shape[0]}",
            )


def _compile(body: Any) -> None:
    layers = getattr(body, "layers", None)
    if layers is None:
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            "engine.compile: this architecture has no list of decoder layers to compile; set it to false",
        )
    for layer in layers:
        layer.compile(dynamic=True)
