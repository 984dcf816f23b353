"""Compares the model that a peer built with the plan. A peer may replace a setting without an error."""

from typing import Any

import torch

from benchmarks.peers.windows import Plan


def find_differences(plan: Plan, model: Any) -> list[str]:
    """Return, in words, the settings of the plan that a 4-bit peft model does not follow."""
    quantization = _as_dict(getattr(model.config, "quantization_config", None))
    adapter = model.peft_config["default"]
    layers = [module for module in model.modules() if _is_quantized(module)]
    adapted = [module for module in model.modules() if hasattr(module, "lora_A")]
    trainable = {each.dtype for each in model.parameters() if each.requires_grad}
    double = quantization.get("bnb_4bit_use_double_quant")
    dtype = str(quantization.get("bnb_4bit_compute_dtype")).removeprefix("torch.")
    checks = (
        (quantization.get("bnb_4bit_quant_type") == "nf4", "the base is not NF4"),
        (double == plan.double_quant, f"double quantization is {'on' if double else 'off'}"),
        (dtype == plan.compute_dtype, f"4-bit layers compute in {dtype}"),
        (adapter.r == plan.rank, f"rank {adapter.r}"),
        (adapter.lora_alpha == plan.alpha, f"alpha {adapter.lora_alpha}"),
        (not adapter.lora_dropout, f"dropout {adapter.lora_dropout}"),
        (len(adapted) == len(layers), f"{len(adapted)} of {len(layers)} 4-bit layers are adapted"),
        (
            trainable == {torch.float32},
            "the adapter is " + ", ".join(sorted(str(each)[6:] for each in trainable)),
        ),
    )
    return [text for holds, text in checks if not holds]


def _is_quantized(module: Any) -> bool:
    return type(module).__name__ == "Linear4bit" and not hasattr(module, "lora_A")


def _as_dict(settings: Any) -> dict[str, Any]:
    if settings is None:
        return {}
    found: dict[str, Any] = settings if isinstance(settings, dict) else settings.to_dict()
    return found
