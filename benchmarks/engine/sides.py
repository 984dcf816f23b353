"""Runs one side, Stepline or a peer, on the same samples, and returns its measurements."""

import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.processes import peers_python, run_process
from benchmarks.peers.windows import Plan
from contracts.job import JobSpec
from contracts.record import MetricRecord, decode_line
from contracts.run.run_dir import Placed, RunDir, write_model
from contracts.summary import Summary


@dataclass
class Run:
    """The measurements of one process of one side."""

    losses: list[float]
    seconds: list[float]
    tokens: list[int]
    peak_bytes: int

    def tokens_per_second_of(self, updates: int) -> float:
        """Return real tokens ÷ seconds over the first `updates` updates."""
        return sum(self.tokens[:updates]) / sum(self.seconds[:updates])


def run_ours(
    path: Path,
    model: Path,
    data: Path,
    spec: JobSpec,
    ranks: int = 1,
    *,
    ends_at: float = math.inf,
) -> tuple[Summary, Plan, Run]:
    """Run the training program in a fresh run directory. Raises SystemExit with its output if it fails; `ends_at` as in `run_process`."""
    run_dir = RunDir(path)
    run_dir.train_data.parent.mkdir(parents=True)
    write_model(run_dir.spec, spec)
    write_model(run_dir.placed, Placed(ranks=ranks))
    run_dir.model.symlink_to(model)
    rows = read_rows(data)
    run_dir.train_data.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    with run_dir.output.open("wb") as output:
        command = [sys.executable, "-m", "worker.training", str(path)]
        peak = run_process(command, output, ends_at)
    if not run_dir.summary.exists():
        # A program that was killed leaves no outcome.
        outcome = run_dir.outcome.read_text() if run_dir.outcome.exists() else ""
        raise SystemExit(run_dir.output.read_text()[-4000:] + outcome)
    summary = Summary.model_validate_json(run_dir.summary.read_text())
    plan = make_plan(run_dir, spec, summary)
    records = [decode_line(line) for line in run_dir.records.read_bytes().splitlines()]
    steps = [each for each in records if isinstance(each, MetricRecord) and "loss" in each.values]
    on_gpu = torch.cuda.is_available()
    return (
        summary,
        plan,
        Run(
            losses=[step.values["loss"] for step in steps],
            seconds=[step.values["seconds"] for step in steps],
            tokens=plan.tokens,
            peak_bytes=(summary.peak_memory_bytes or 0) if on_gpu else peak,
        ),
    )


def read_rows(data: Path) -> list[Any]:
    """Return the rows of a JSON or JSONL file."""
    text = data.read_text()
    if text.lstrip().startswith("["):
        rows: list[Any] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def make_plan(run_dir: RunDir, spec: JobSpec, summary: Summary) -> Plan:
    """Tokenize the rows as the training program did, and return the samples of each update for the peers."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow to import, and not needed for --help

    from worker.training.data.batches import Windows  # noqa: PLC0415
    from worker.training.data.preparation import prepare  # noqa: PLC0415
    from worker.training.data.rendering.template import Template  # noqa: PLC0415

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


def run_peer(
    peer: str, plan: Plan, plan_path: Path, folder: Path, *, ends_at: float = math.inf
) -> Run:
    """Run a peer on the plan and on one device. On a CPU, where TRL is slow, it runs only one update."""
    path, count = plan_path, len(plan.windows)
    if peer == "trl" and not torch.cuda.is_available():
        count = 1
        path = folder / "plan-one.json"
        Plan(**(plan.__dict__ | {"windows": plan.windows[:1]})).save(path)
    result = folder / f"{peer}.json"
    python = sys.executable if peer == "trainer" else str(peers_python())
    with (folder / f"{peer}.log").open("wb") as output:
        command = [python, "-m", "benchmarks.peers.trainer", peer, str(path), str(result)]
        peak = run_process(command, output, ends_at, _one_gpu())
    if not result.exists():
        raise SystemExit((folder / f"{peer}.log").read_text()[-4000:])
    figures = json.loads(result.read_text())
    return Run(
        losses=figures["losses"],
        seconds=figures["seconds"],
        tokens=plan.tokens[:count],
        peak_bytes=figures["peak_device_bytes"] or peak,
    )


def _one_gpu() -> dict[str, str]:
    """Return the variables that show a process only the first GPU. With several, Trainer would take a batch for each of them."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    return {"CUDA_VISIBLE_DEVICES": shown.partition(",")[0]}
