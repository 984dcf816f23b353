"""Runs the plain transformers Trainer, or TRL's SFTTrainer, on the windows of a plan.

    python -m benchmarks.peers.trainer {trainer,trl} PLAN.json RESULT.json

Both run the same training as Stepline: NF4 base, fp32 LoRA on all linear layers, AdamW, cosine, clip 1.0, the same rows with the
same masks in the same order. The Trainer pads each micro-batch to its longest row and computes all logits.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.peers.arguments import shared_arguments
from benchmarks.peers.checks import find_differences
from benchmarks.peers.watch import Watch
from benchmarks.peers.windows import Plan, save_result


class Rows(Dataset[dict[str, list[int]]]):
    """The plan's samples."""

    def __init__(self, plan: Plan) -> None:
        self._rows = plan.rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        row = self._rows[index]
        return row | {"attention_mask": [1] * len(row["input_ids"])}


def main(kind: str, plan_path: Path, result_path: Path) -> None:
    """Train on the plan's windows and write the result."""
    plan = Plan.load(plan_path)
    on_cpu = not torch.cuda.is_available()
    model = build_model(plan, on_cpu)
    settings = shared_arguments(plan, on_cpu=on_cpu) | {
        "output_dir": str(result_path.parent / f"{kind}-output"),
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
    }
    watch = Watch()
    trainer = (make_trl if kind == "trl" else make_trainer)(plan, model, settings, watch)
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = (
                parameter.data.float()
            )  # TRL would cast the adapter to bf16, which would change the training
    trainer.train()
    peak = 0 if on_cpu else torch.cuda.max_memory_allocated()
    save_result(
        result_path,
        losses=watch.losses,
        seconds=watch.seconds,
        peak_device_bytes=peak,
        differences=find_differences(plan, trainer.model),
    )


def build_model(plan: Plan, on_cpu: bool) -> Any:
    """Load the base in NF4 and add a new LoRA adapter."""
    dtype = getattr(torch, plan.compute_dtype)
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=plan.double_quant,
        bnb_4bit_compute_dtype=dtype,
    )
    base = AutoModelForCausalLM.from_pretrained(
        plan.model,
        quantization_config=quantization,
        dtype=dtype,
        attn_implementation="sdpa",
        device_map={"": "cpu" if on_cpu else 0},
    )
    base.config.use_cache = False
    set_seed(plan.seed)
    lora = LoraConfig(
        r=plan.rank, lora_alpha=plan.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(base, lora)


def make_trainer(plan: Plan, model: Any, settings: dict[str, Any], watch: Watch) -> Any:
    """Return a plain Trainer that pads to the longest row."""
    tokenizer = AutoTokenizer.from_pretrained(plan.model)
    return Trainer(
        model=model,
        args=TrainingArguments(**settings),
        train_dataset=Rows(plan),
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding="longest"),
        callbacks=[watch],
    )


def make_trl(plan: Plan, model: Any, settings: dict[str, Any], watch: Watch) -> Any:
    """Return TRL's SFTTrainer in its best configuration: padding-free, with its fused head and loss."""
    import datasets  # noqa: PLC0415 - only this side needs them
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]  # noqa: PLC0415 - installed only in the peers' environment

    return SFTTrainer(
        model=model,
        args=SFTConfig(
            **settings,
            max_length=None,
            padding_free=True,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=datasets.Dataset.from_list(plan.rows),
        processing_class=AutoTokenizer.from_pretrained(plan.model),
        callbacks=[watch],
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
