"""Runs LLaMA-Factory's own SFT training on the windows of a plan. Its Python interpreter needs llamafactory and bitsandbytes.

    python -m benchmarks.peers.llamafactory llamafactory PLAN.json RESULT.json

It reads the samples as an already tokenized data set, in the order of the plan. It pads each micro-batch to a multiple of 8.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.arguments import shared_arguments
from benchmarks.peers.windows import Plan, save_result


def make_arguments(plan: Plan, folder: Path, *, on_cpu: bool) -> dict[str, Any]:
    """Return LLaMA-Factory's settings for a plan whose samples are stored below the folder."""
    return shared_arguments(plan, on_cpu=on_cpu) | {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": plan.model,
        "template": "empty",
        "dataset": "plan",
        "tokenized_path": str(folder / "samples"),
        "disable_shuffling": True,
        "output_dir": str(folder / "output"),
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": plan.rank,
        "lora_alpha": plan.alpha,
        "lora_dropout": 0.0,
        "quantization_method": "bnb",
        "quantization_bit": 4,
        "quantization_type": "nf4",
        "double_quantization": plan.double_quant,
        "flash_attn": "sdpa",
        "disable_gradient_checkpointing": True,
    }


def main(plan_path: Path, result_path: Path) -> None:
    """Train on the plan's windows and write the result."""
    import datasets  # noqa: PLC0415 - slow to import
    from llamafactory.train.tuner import run_exp  # type: ignore[import-not-found]  # noqa: PLC0415 - only in the peer's environment

    from benchmarks.peers.checks import find_differences  # noqa: PLC0415
    from benchmarks.peers.watch import Watch  # noqa: PLC0415

    class CheckingWatch(Watch):
        """Also compares the model with the plan, because LLaMA-Factory builds it."""

        differences: list[str] = []

        def on_train_begin(self, *_: Any, model: Any, **__: Any) -> None:
            """Compare."""
            self.differences = find_differences(plan, model)

    plan = Plan.load(plan_path)
    on_cpu = not torch.cuda.is_available()
    folder = result_path.parent / "llamafactory"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
    rows = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in plan.rows]
    datasets.Dataset.from_list(rows).save_to_disk(folder / "samples")
    watch = CheckingWatch()
    run_exp(make_arguments(plan, folder, on_cpu=on_cpu), callbacks=[watch])
    save_result(
        result_path,
        losses=watch.losses,
        seconds=watch.seconds,
        peak_device_bytes=0 if on_cpu else torch.cuda.max_memory_allocated(),
        differences=["rows padded to a multiple of 8", *watch.differences],
    )


if __name__ == "__main__":
    main(Path(sys.argv[2]), Path(sys.argv[3]))
