"""The training arguments that all peers share. They are those of transformers' TrainingArguments."""

from typing import Any

from benchmarks.peers.windows import Plan


def shared_arguments(plan: Plan, *, on_cpu: bool) -> dict[str, Any]:
    """Return the arguments that make a peer train as Stepline does: AdamW, cosine, clip 1.0, one log line for each update."""
    return {
        "per_device_train_batch_size": plan.per_device_batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": "cosine",
        "max_steps": len(plan.windows),
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "optim": "adamw_torch" if on_cpu else "adamw_torch_fused",
        "bf16": plan.compute_dtype == "bfloat16",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "seed": plan.seed,
    }
