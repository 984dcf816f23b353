"""The engine's choices and their reasons: one entry per choice that affects speed, memory or rounding."""

from typing import Any

import torch

from worker.training.data.rendering.template import Template
from worker.training.memory.budget import TokenBudget
from worker.training.memory.plan import MemoryPlan
from worker.training.model.load import DOUBLE_QUANT_FROM
from worker.training.model.segments import SEGMENTS
from worker.training.model.varlen import VARLEN
from worker.training.state import Run

_ATTENTION = {
    VARLEN: "torch's varlen kernel computes all samples of a micro-batch at once, without a mask",
    SEGMENTS: "on a CPU, attention runs sample by sample, without a mask",
    "sdpa": "a block-diagonal mask separates packed samples",
    "eager": "the architecture does not support any other attention",
}


def explain_choices(
    run: Run, template: Template, budget: TokenBudget, plan: MemoryPlan
) -> dict[str, Any]:
    """Return {choice: {value, reason}} for the summary."""
    return {
        **_numeric_choices(run, plan),
        "memory_plan": {
            **_choice(plan.choice is not None, plan.reason),
            "seconds": round(plan.seconds, 2),
        },
        "token_budget": _choice(
            run.token_budget,
            budget.reason
            if run.token_budget == budget.tokens
            else f"initially {budget.tokens} ({budget.reason}); changed by a resume or because memory ran out",
        ),
        "attention": _choice(
            run.model.attention,
            ": ".join(filter(None, (_ATTENTION[run.model.attention], run.model.mask_reason))),
        ),
        "shared_unpacking": _choice(
            run.model.shares_unpacking,
            "the 4-bit layers are unpacked into one buffer"
            if run.model.shares_unpacking
            else "only on a CPU, if bitsandbytes' kernel supports it and neither dequantize_base nor compile is on",
        ),
        "packing": _choice(
            run.model.packs,
            "this architecture keeps packed samples separate"
            if run.model.packs
            else "this architecture mixes packed samples or encodes each depending on the longest one, so each micro-batch has "
            "one sample",
        ),
        "chunked_head": _choice(
            run.model.plain_head,
            "the logits are head × hidden state, so they are computed in chunks"
            if run.model.plain_head
            else "the model caps or scales its logits, so its own forward pass computes them",
        ),
        "chat_template": _choice(template.kind, template.reason),
        **_ranks_choice(run),
        **_expert_choice(run),
        "adapter": _adapter_choice(run),
    }


def _numeric_choices(run: Run, plan: MemoryPlan) -> dict[str, Any]:
    device, spec = run.model.device, run.spec
    dtype = str(device.compute_dtype).removeprefix("torch.")
    return {
        "compute_dtype": _choice(dtype, device.compute_reason),
        "double_quant": _choice(
            run.model.double_quant,
            f"depends on the model's size: on for models with at least {DOUBLE_QUANT_FROM:,} parameters"
            if spec.quantization.double_quant == "auto"
            else "set by quantization.double_quant",
        ),
        "activation_checkpointing": _choice(
            run.checkpointing_activations,
            _checkpointing_reason(run, plan),
        ),
        "dequantize_base": _choice(
            run.model.dequantized,
            "; ".join(
                filter(
                    None,
                    (
                        plan.dequantize_reason
                        if spec.engine.dequantize_base == "auto"
                        else "set by engine.dequantize_base",
                        run.model.unpacking_proof,
                    ),
                )
            ),
        ),
        "compile": _choice(run.model.compiled, run.model.compile_reason),
        "fused_optimizer": _choice(bool(run.optimizer.defaults["fused"]), run.optimizer_reason),
        "fused_lora": _choice(run.model.copies is not None, run.model.fused_reason),
        "cpu_threads": _choice(
            torch.get_num_threads(),
            "torch's default, or the number of threads used by the previous attempt on this device",
        ),
    }


def _checkpointing_reason(run: Run, plan: MemoryPlan) -> str:
    if run.spec.engine.activation_checkpointing != "auto":
        return "set by engine.activation_checkpointing"
    if plan.recomputes:
        return "without it, the longest sample would not fit into memory, according to the plan"
    return "only if memory runs out"


def _ranks_choice(run: Run) -> dict[str, Any]:
    if run.group.count == 1:
        return {}
    return {
        "ranks": _choice(
            run.group.count, "resources.gpus; each rank computes its share of every update"
        )
    }


def _expert_choice(run: Run) -> dict[str, Any]:
    count = run.model.expert_parameters
    if not count:
        return {}
    dtype = str(run.model.device.compute_dtype).removeprefix("torch.")
    return {
        "experts": _choice(
            dtype,
            f"not stored in 4 bits: {count:,} expert parameters are stored as one tensor per layer, and only linear layers "
            "are quantized. Routers are not trained",
        )
    }


def _adapter_choice(run: Run) -> dict[str, Any]:
    best, last = run.progress.best, run.progress.step
    if best is None or best.loss >= run.progress.evaluations[-1].loss:
        return _choice(last, "the adapter of the last step")
    return _choice(
        best.step, "the adapter with the lowest evaluation loss (training.early_stopping)"
    )


def _choice(value: str | float | bool, reason: str) -> dict[str, Any]:
    return {"value": value, "reason": reason}
