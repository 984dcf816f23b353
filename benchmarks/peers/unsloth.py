"""Runs Unsloth with TRL's SFTTrainer on the windows of a plan. Its Python interpreter needs unsloth, and the host an NVIDIA GPU.

    python -m benchmarks.peers.unsloth unsloth PLAN.json RESULT.json

This program follows Unsloth's documentation, but has never run.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.arguments import shared_arguments
from benchmarks.peers.windows import Plan, save_result

LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All linear layers of Qwen2, for which Unsloth has its own kernels."""


def make_arguments(plan: Plan, folder: Path) -> dict[str, Any]:
    """Return the arguments of SFTConfig. Unsloth chooses padding-free batches itself where it supports them."""
    return shared_arguments(plan, on_cpu=False) | {
        "output_dir": str(folder / "unsloth-output"),
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "max_length": longest(plan),
        "warmup_steps": 0,
        "warmup_ratio": 0.0,
        "gradient_checkpointing": False,
    }


def longest(plan: Plan) -> int:
    """Return the number of tokens of the longest sample."""
    return max(len(row["input_ids"]) for row in plan.rows)


def main(plan_path: Path, result_path: Path) -> None:
    """Train on the plan's windows and write the result."""
    from unsloth import FastLanguageModel  # type: ignore[import-not-found]  # noqa: I001, PLC0415 - must be imported before trl and transformers

    import datasets  # noqa: PLC0415
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]  # noqa: PLC0415 - only in the peer's environment

    from benchmarks.peers.checks import find_differences  # noqa: PLC0415
    from benchmarks.peers.watch import Watch  # noqa: PLC0415

    class InOrder(SFTTrainer):  # type: ignore[misc]  # trl is untyped
        """Takes the samples in the order of the plan."""

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    plan = Plan.load(plan_path)
    base, tokenizer = FastLanguageModel.from_pretrained(
        model_name=plan.model,
        max_seq_length=longest(plan),
        dtype=getattr(torch, plan.compute_dtype),
        load_in_4bit=True,
        use_gradient_checkpointing=False,
    )
    model = FastLanguageModel.get_peft_model(
        base,
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=0.0,
        target_modules=list(LINEAR_LAYERS),
        use_gradient_checkpointing=False,
        random_state=plan.seed,
    )
    watch = Watch()
    trainer = InOrder(
        model=model,
        args=SFTConfig(**make_arguments(plan, result_path.parent)),
        train_dataset=datasets.Dataset.from_list(plan.rows),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    trainer.train()
    save_result(
        result_path,
        losses=watch.losses,
        seconds=watch.seconds,
        peak_device_bytes=torch.cuda.max_memory_allocated(),
        differences=find_differences(plan, trainer.model),
    )


if __name__ == "__main__":
    main(Path(sys.argv[2]), Path(sys.argv[3]))
