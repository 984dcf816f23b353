"""The LoRA adapter: which layers of a 4-bit base model get one, its peft configuration, and how it is saved.

Only layers of the text decoder get one, because text never reaches a vision or audio tower. Expert routers stay
unchanged, because a small change to them would send tokens to experts that were not trained on such tokens.
"""

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import bitsandbytes
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import nn

from contracts.failure import FailureReason
from contracts.job import LoraSpec
from worker.training.errors import TrainingError
from worker.training.rundir.disk import sync

_ROUTER = re.compile(r"(^|\.)(gate|shared_expert_gate|\w*router\w*)(\.|$)")
_IGNORED_WARNINGS = (
    ".*is_gradient_checkpointing",  # peft 0.21 reads a transformers 5 property by its old name
    ".*_pattern keys did not match",  # peft first searches for experts among the layers and finds them only later
)


def check_targets(base: Any, lora: LoraSpec) -> None:
    """Reject names in lora.target_modules that are not 4-bit layers."""
    if lora.target_modules == "all-linear":
        return
    linear = {n for n, m in base.named_modules() if isinstance(m, bitsandbytes.nn.Linear4bit)}
    for target in lora.target_modules:
        named = [n for n, _ in base.named_modules() if _matches(n, target)]
        if not named or any(name not in linear for name in named):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise TrainingError(
                FailureReason.SPEC_REFUSED,
                f"lora.target_modules: {target!r} "
                f"{'is not a 4-bit linear layer' if named else 'matches no layer'} of this model. "
                f"Its 4-bit linear layers are {known}",
            )


def add_adapter(base: Any, body: Any, lora: LoraSpec) -> Any:
    """Return peft's model: `base` with a float32 LoRA adapter on the target layers within `body`, its text decoder."""
    config = _config(base, body, lora)
    if lora.dropout and config.target_parameters:
        raise TrainingError(
            FailureReason.SPEC_REFUSED,
            f"lora.dropout is {lora.dropout}, but peft does not support dropout for experts, which this model stores as one "
            "tensor per layer. Set lora.dropout to 0, or list only attention layers in lora.target_modules",
        )
    with warnings.catch_warnings():
        for message in _IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        # Keep the adapter in float32, because in bfloat16 most late updates would round to zero.
        peft_model = get_peft_model(base, config, autocast_adapter_dtype=True)
    _check_ranks(peft_model, lora)
    return peft_model


def sort_sets(config: Any) -> None:
    """Turn each set of a peft configuration into a sorted list, so that identical adapters are saved as identical bytes.

    peft writes a set in hash order, which differs between processes.
    """
    for name, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, name, sorted(value))


def describe_adapter(peft_model: Any) -> dict[str, Any]:
    """Return the adapter's configuration as JSON, as `save_adapter` writes it to `adapter_config.json`."""
    (config,) = peft_model.peft_config.values()
    sort_sets(config)
    content: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return content | {"inference_mode": True}


def save_adapter(peft_model: Any, tokenizer: Any, directory: Path) -> None:
    """Save the model's adapter in peft's format, with the tokenizer. `directory` is complete or absent, never partial."""
    temporary = directory.with_name(directory.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for config in peft_model.peft_config.values():
        sort_sets(config)
    peft_model.save_pretrained(temporary, save_embedding_layers=False)
    tokenizer.save_pretrained(temporary)
    for path in (*temporary.iterdir(), temporary):
        sync(path)
    temporary.replace(directory)


def _config(base: Any, body: Any, lora: LoraSpec) -> LoraConfig:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        exclude_modules=_excluded_layers(base, body, lora) or None,
    )
    # Adds the tensors of experts and their routers to the configuration, as get_peft_model would. Called early, so that
    # the routers can be removed again.
    convert_peft_config_for_transformers(config, base, None)
    named = config.target_parameters or ()
    config.target_parameters = sorted(n for n in named if not _ROUTER.search(n)) or None
    return config


def _excluded_layers(base: Any, body: Any, lora: LoraSpec) -> list[str]:
    has_towers = base.config.get_text_config() is not base.config
    within = {id(module) for module in (body if has_towers else base).modules()}
    exclude_routers = lora.target_modules == "all-linear"
    return [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear)
        and module is not base.get_output_embeddings()
        and (id(module) not in within or (exclude_routers and _ROUTER.search(name)))
    ]


def _check_ranks(peft_model: Any, lora: LoraSpec) -> None:
    for name, layer in peft_model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        (first,), (second,) = layer.lora_A.values(), layer.lora_B.values()
        smallest = min(first.weight.shape[1], second.weight.shape[0])
        if lora.rank > smallest:
            layer_name = name.removeprefix("base_model.model.")
            raise TrainingError(
                FailureReason.SPEC_REFUSED,
                f"lora.rank is {lora.rank}, which is larger than the smaller dimension ({smallest}) of {layer_name}",
                evidence={"rank": lora.rank, "layer": layer_name, "smaller_side": smallest},
            )


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
