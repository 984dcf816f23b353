"""Records the curves in this directory: `python -m tests.recorded.record ROWS_FILE NAME…` trains a tiny Qwen2 once per name.

ROWS_FILE is a JSON list of Alpaca rows, for example alpaca_zh_demo.json. Each recipe states why its run is or is not healthy. The
program trains as it does in a job; only the stalled run is stopped with SIGSTOP. Nothing in a curve is invented or edited.
"""

import base64
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2ForCausalLM

from contracts.record import EvalRecord, MetricRecord, decode_line
from contracts.run.run_dir import RunDir
from tests.factories import make_spec
from tests.tiny_model import make_config, make_tokenizer, write_rows

HERE = Path(__file__).parent
DIGITS = 4
"""Significant digits of the stored figures."""
STALL_SECONDS = 180.0
"""How long the stalled run is observed after its process has been stopped."""
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Recipe:
    """How to produce a run."""

    training: dict[str, Any]
    rows: Callable[[Rows], Rows] = lambda rows: rows
    evaluate_every: int = 500
    eval_size: int = 40
    rank: int = 8
    knows_rows: bool = False
    """Whether the base has memorized the short rows, so that it gives other text a low probability."""
    stops_at: int | None = None
    """Step after which the process is stopped with SIGSTOP."""


def _short(rows: Rows) -> Rows:
    return [row for row in rows if len(row["instruction"]) < 40 and len(row["output"]) < 40]


def _with_bad_rows(rows: Rows) -> Rows:
    """Return the short rows, three of them with a long base64 string as the answer, as if the data had been prepared incorrectly."""
    short = _short(rows)
    noise = random.Random(5)  # noqa: S311  # only has to be repeatable
    for number in (30, 60, 90):
        text = base64.b64encode(noise.randbytes(600)).decode()
        short[number] = short[number] | {"output": text}
    return short


REFERENCE = {"per_device_batch_size": 4, "gradient_accumulation_steps": 4, "learning_rate": 2e-4}
SHORT = {"max_length": 64}
RECIPES: dict[str, Recipe] = {
    # The reference recipe: batch 16, learning rate 2e-4, cosine.
    "healthy_6250": Recipe({**REFERENCE, **SHORT, "max_steps": 6250}, rank=2),
    "healthy_1000": Recipe({**REFERENCE, **SHORT, "max_steps": 1000}, evaluate_every=100),
    "healthy_300": Recipe({**REFERENCE, **SHORT, "max_steps": 300}, evaluate_every=50),
    "healthy_80": Recipe({**REFERENCE, **SHORT, "max_steps": 80}, evaluate_every=20),
    "healthy_20": Recipe({**REFERENCE, **SHORT, "max_steps": 20}, evaluate_every=10),
    # One sample per update: the noisiest healthy curve.
    "healthy_single_500": Recipe(
        {
            **REFERENCE,
            **SHORT,
            "per_device_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "max_steps": 500,
        },
        evaluate_every=100,
    ),
    # A learning rate that is far too high, without the protection of clipping.
    "diverging": Recipe(
        {
            **REFERENCE,
            **SHORT,
            "learning_rate": 1.0,
            "lr_scheduler": "constant",
            "max_grad_norm": 1e6,
            "max_steps": 120,
        },
        evaluate_every=50,
    ),
    # A learning rate of almost 0: nothing is learned.
    "plateau": Recipe({**REFERENCE, **SHORT, "learning_rate": 1e-8, "max_steps": 300}),
    # 30 rows, repeated until the adapter has memorized them.
    "overfitting": Recipe(
        {**REFERENCE, **SHORT, "learning_rate": 5e-3, "max_steps": 200},
        rows=lambda rows: rows[:120],
        evaluate_every=25,
        rank=64,
    ),
    # Three rows of noise among a hundred.
    "spiky": Recipe(
        {**REFERENCE, "max_length": 512, "max_steps": 60},
        rows=_with_bad_rows,
        evaluate_every=20,
        eval_size=20,
        knows_rows=True,
    ),
    # The process is stopped in the middle of a run.
    "stalled": Recipe({**REFERENCE, **SHORT, "max_steps": 300}, evaluate_every=50, stops_at=120),
}


def main(rows_file: Path, names: list[str]) -> None:
    """Record the named runs, or all."""
    rows = json.loads(rows_file.read_text())
    with tempfile.TemporaryDirectory() as scratch:
        base = make_base(Path(scratch) / "base", rows, steps=150)
        for name in names or RECIPES:
            model = base
            if RECIPES[name].knows_rows:
                model = make_base(Path(scratch) / f"base_of_{name}", _short(rows), steps=500)
            found = record(Path(scratch) / name, model, RECIPES[name], rows)
            text = json.dumps(found, separators=(",", ":"))
            path = HERE / f"{name}.json.gz"
            path.write_bytes(gzip.compress(text.encode(), mtime=0))
            print(name, len(found["loss"]), "steps,", path.stat().st_size, "bytes", flush=True)


def make_base(directory: Path, rows: Rows, steps: int) -> Path:
    """Train all weights of a 2-layer Qwen2 briefly on the rows' text, so that fine-tuning starts from a model, not from noise."""
    texts = [row["instruction"] + "\n" + row["output"] for row in rows]
    tokenizer = make_tokenizer(texts, vocabulary=1200)
    torch.manual_seed(7)
    model = Qwen2ForCausalLM(make_config(tokenizer, positions=1024))
    tokens = torch.tensor([t for text in texts for t in tokenizer(text)["input_ids"]])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    torch.set_num_threads(1)
    for _ in range(steps):
        starts = torch.randint(len(tokens) - 128, (8,)).tolist()
        batch = torch.stack([tokens[start : start + 128] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"base: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def record(path: Path, model: Path, recipe: Recipe, rows: Rows) -> dict[str, Any]:
    """Train one recipe and return its curve."""
    run_dir = RunDir(path)
    write_rows(run_dir.train_data, recipe.rows(rows))
    run_dir.model.symlink_to(model)
    spec = make_spec(
        training=recipe.training,
        dataset={"train": "ds_00000000", "eval_size": recipe.eval_size},
        lora={"rank": recipe.rank, "alpha": 2 * recipe.rank},
        quantization={"compute_dtype": "float32"},
        evaluation={"every_steps": recipe.evaluate_every},
        checkpoint={"every_steps": 1_000_000},
    )
    run_dir.spec.write_text(spec.model_dump_json())
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with run_dir.output.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.training", str(run_dir.path)],
            stdout=output,
            stderr=output,
            env=environment,
        )
    observed_seconds = None
    while process.poll() is None:
        time.sleep(0.5)
        if recipe.stops_at is not None and _last_step(run_dir) >= recipe.stops_at:
            process.send_signal(signal.SIGSTOP)
            time.sleep(STALL_SECONDS)
            observed_seconds = STALL_SECONDS
            process.kill()
            process.wait()
    return _curve(run_dir, spec.model_dump(mode="json"), observed_seconds)


def _records(run_dir: RunDir) -> list[Any]:
    if not run_dir.records.exists():
        return []
    whole = run_dir.records.read_bytes().rpartition(b"\n")[0]
    return [decode_line(line) for line in whole.splitlines()]


def _last_step(run_dir: RunDir) -> int:
    return max((r.step for r in _records(run_dir) if isinstance(r, MetricRecord)), default=0)


def _curve(run_dir: RunDir, spec: dict[str, Any], silent_seconds: float | None) -> dict[str, Any]:
    records = _records(run_dir)
    steps = [r for r in records if isinstance(r, MetricRecord) and "loss" in r.values]
    assert [r.step for r in steps] == list(range(1, len(steps) + 1)), run_dir.output.read_text()
    training = spec["training"]
    assert steps, run_dir.output.read_text()
    began = steps[0].at
    return {
        "total_steps": training["max_steps"],
        "effective_batch": training["per_device_batch_size"]
        * training["gradient_accumulation_steps"],
        "max_grad_norm": training["max_grad_norm"],
        "learning_rate": training["learning_rate"],
        "silent_seconds": silent_seconds,
        "loss": [_round(r.values["loss"]) for r in steps],
        "grad_norm": [_round(r.values["grad_norm"]) for r in steps],
        "seconds": [_round(r.values["seconds"]) for r in steps],
        "tokens": [int(r.values["tokens"]) for r in steps],
        "at": [round((r.at - began).total_seconds(), 2) for r in steps],
        "evaluations": [
            [r.step, _round(r.loss), round((r.at - began).total_seconds(), 2)]
            for r in records
            if isinstance(r, EvalRecord)
        ],
    }


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
