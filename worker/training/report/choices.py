"""The engine's choices and their reasons: one entry per choice that affects speed, memory or the last digits."""

from typing import Any

import torch

from worker.training.data.template import Template
from worker.training.memory.budget import TokenBudget
from worker.training.model.load import DOUBLE_QUANT_FROM
from worker.training.model.segments import SEGMENTS
from worker.training.state import Run

_ATTENTION = {
    "flash_attention_2": "a varlen kernel is installed: packed samples need no mask",
    SEGMENTS: "on a CPU: each packed sample attends alone, and no mask is made",
    "sdpa": "packed samples are kept apart by a block-diagonal mask: no varlen kernel serves this device and model",
    "eager": "the architecture has no other",
}


def explain_choices(run: Run, template: Template, budget: TokenBudget) -> dict[str, Any]:
    """Return {choice: {value, reason}} for the summary."""
    return {
        **_numeric_choices(run),
        "token_budget": _choice(
            run.token_budget,
            budget.reason
            if run.token_budget == budget.tokens
            else f"{budget.tokens} to begin with ({budget.reason}); changed by a resume or by memory",
        ),
        "attention": _choice(run.model.attention, _ATTENTION[run.model.attention]),
        "shared_unpacking": _choice(
            run.model.shares_unpacking,
            "the 4-bit layers are unpacked into one buffer"
            if run.model.shares_unpacking
            else "only on a CPU, where bitsandbytes' kernel serves it and nothing else unpacks",
        ),
        "packing": _choice(
            run.model.packs,
            "packed samples stay apart in this architecture"
            if run.model.packs
            else "this architecture mixes packed samples, or encodes them by the longest: one sample a micro-batch",
        ),
        "chunked_head": _choice(
            run.model.plain_head,
            "logits are head × hidden state: no tensor of all logits is made"
            if run.model.plain_head
            else "the model caps or scales its logits: they are computed by its own forward",
        ),
        "chat_template": _choice(template.kind, template.reason),
        **_expert_choice(run),
        "adapter": _adapter_choice(run),
    }


def _numeric_choices(run: Run) -> dict[str, Any]:
    device, spec = run.model.device, run.spec
    dtype = str(device.compute_dtype).removeprefix("torch.")
    return {
        "compute_dtype": _choice(dtype, device.compute_reason),
        "double_quant": _choice(
            run.model.double_quant,
            f"by the model's size: on from {DOUBLE_QUANT_FROM:,} parameters"
            if spec.quantization.double_quant == "auto"
            else "asked for by quantization.double_quant",
        ),
        "activation_checkpointing": _choice(
            run.checkpointing_activations,
            "only when memory asks for it"
            if spec.engine.activation_checkpointing == "auto"
            else "asked for by engine.activation_checkpointing",
        ),
        "dequantize_base": _switch(spec.engine.dequantize_base, "engine.dequantize_base"),
        "compile": _switch(spec.engine.compile, "engine.compile"),
        "fused_optimizer": _choice(
            bool(run.optimizer.defaults["fused"]),
            "on a GPU"
            if spec.engine.fused_optimizer == "auto"
            else "asked for by engine.fused_optimizer",
        ),
        "cpu_threads": _choice(
            torch.get_num_threads(), "torch's own, or those of the attempt before on this device"
        ),
    }


def _expert_choice(run: Run) -> dict[str, Any]:
    count = run.model.expert_parameters
    if not count:
        return {}
    dtype = str(run.model.device.compute_dtype).removeprefix("torch.")
    return {
        "experts": _choice(
            dtype,
            f"not held in 4 bits: {count:,} parameters of experts are one tensor a layer, and only linear layers are; "
            "their routers are not trained",
        )
    }


def _adapter_choice(run: Run) -> dict[str, Any]:
    best, last = run.progress.best, run.progress.step
    if best is None or best.loss >= run.progress.evaluations[-1].loss:
        return _choice(last, "the last step's")
    return _choice(best.step, "the step with the lowest evaluation loss (training.early_stopping)")


def _switch(asked: bool | str, field: str) -> dict[str, Any]:
    if asked == "auto":
        return _choice(value=False, reason="off by default: its gain depends on the device")
    return _choice(value=bool(asked), reason=f"asked for by {field}")


def _choice(value: str | float | bool, reason: str) -> dict[str, Any]:
    return {"value": value, "reason": reason}
