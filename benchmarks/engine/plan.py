"""Writes the plan of a finished run for the peers. A separate program, because it imports torch.

python -m benchmarks.engine.plan RUN_DIR PLAN.json
"""

import sys
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.peers.windows import Plan
from contracts.job import JobSpec
from contracts.run.run_dir import RunDir
from contracts.summary import Summary
from worker.training.data.batches import Windows
from worker.training.data.preparation import prepare
from worker.training.data.rendering.template import Template


def make_plan(run_dir: RunDir, spec: JobSpec, summary: Summary) -> Plan:
    """Tokenize the rows as the training program did, and return the samples of each update."""
    tokenizer = AutoTokenizer.from_pretrained(run_dir.model)
    data = prepare(run_dir, spec, tokenizer, Template(tokenizer))
    windows = Windows(data.train, spec.effective_batch_size, spec.training.seed)
    return Plan(
        model=str(run_dir.model.resolve()),
        windows=[
            [
                {
                    "input_ids": sample.ids.tolist(),
                    "labels": [
                        int(token) if learned else -100
                        for token, learned in zip(sample.ids, sample.supervised, strict=True)
                    ],
                }
                for sample in windows.window(step)
            ]
            for step in range(1, summary.steps + 1)
        ],
        per_device_batch_size=spec.training.per_device_batch_size,
        gradient_accumulation_steps=spec.training.gradient_accumulation_steps,
        learning_rate=spec.training.learning_rate,
        rank=spec.lora.rank,
        alpha=spec.lora.alpha,
        seed=spec.training.seed,
        double_quant=bool(spec.quantization.double_quant),
        compute_dtype=summary.choices["compute_dtype"]["value"],
    )


def main(run_path: Path, plan_path: Path) -> None:
    """Write the plan."""
    run_dir = RunDir(run_path)
    spec = JobSpec.model_validate_json(run_dir.spec.read_text())
    summary = Summary.model_validate_json(run_dir.summary.read_text())
    make_plan(run_dir, spec, summary).save(plan_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
