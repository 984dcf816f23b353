"""Compares Stepline's engine with plain transformers and TRL, on the same rows with the same masks in the same order.

    python -m benchmarks.engine --model DIR --data FILE [--peers trainer,trl] [--updates 2] [--pairs 1]
    python -m benchmarks.engine --model make --data FILE      # a small body with Qwen2's full vocabulary
    python -m benchmarks.engine --model DIR --data FILE --ranks 2 --peers ''      # one rank against two

Each side runs in its own process. The sides alternate, and the benchmark reports medians. The last line is JSON. Loading and
evaluation are excluded on both sides: tokens per second are real tokens (prompts included, padding excluded) of the
measured updates ÷ the seconds from an update's first row to its end. Memory is the peak of the process or, on a GPU, of
the device; with several ranks, that of rank 0.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.roofline import tokens_per_second_limit
from benchmarks.peers.windows import Plan
from contracts.job import JobSpec
from contracts.record import MetricRecord, decode_line
from contracts.run.run_dir import Placed, RunDir, write_model
from contracts.summary import Summary

PEERS_ENVIRONMENT = Path.home() / ".cache" / "stepline" / "benchmark-peers"
TRL = "trl==1.16.0"
TOO_LONG = "the time limit was reached"
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


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


@dataclass
class Side:
    """The runs of one side."""

    name: str
    runs: list[Run] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float:
        """The median over the runs, counting all updates."""
        return self.tokens_per_second_of(len(self.runs[0].seconds))

    def tokens_per_second_of(self, updates: int) -> float:
        """Return the median over the runs, counting the first `updates` updates of each."""
        return statistics.median(run.tokens_per_second_of(updates) for run in self.runs)

    @property
    def peak_bytes(self) -> float:
        """The median over the runs."""
        return statistics.median(run.peak_bytes for run in self.runs)


def main() -> None:
    """Run the sides alternately; print a table and JSON."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = options.model == "make"
        model = make_model(folder, options.data) if made else Path(options.model).resolve()
        spec = make_spec(model, options)
        summary, plan, ours = run_ours(folder / "plan", model, options.data, spec)
        plan_path = folder / "plan.json"
        plan.save(plan_path)
        sides = {"stepline": Side("stepline", [ours])}
        several = f"{options.ranks} ranks"
        sides |= {peer: Side(peer) for peer in options.peers}
        if options.ranks > 1:
            sides[several] = Side(several)
        for pair in range(options.pairs):
            if pair:
                again = run_ours(folder / f"ours-{pair}", model, options.data, spec)[2]
                sides["stepline"].runs.append(again)
            if options.ranks > 1:
                path = folder / f"ranks-{pair}"
                run = run_ours(path, model, options.data, spec, options.ranks)[2]
                sides[several].runs.append(run)
            for peer in options.peers:
                sides[peer].runs.append(run_peer(peer, plan, plan_path, folder))
        report(list(sides.values()), summary, tokens_per_second_limit(plan, summary))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a model directory, or 'make'")
    parser.add_argument("--data", required=True, type=Path, help="a dataset file (JSON or JSONL)")
    parser.add_argument(
        "--peers", default="trainer", type=lambda text: [x for x in text.split(",") if x]
    )
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=1, help="runs of each side")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument(
        "--engine", type=json.loads, default={}, help="JSON for the spec's `engine` field"
    )
    parser.add_argument("--ranks", type=int, default=1, help="also run with this number of ranks")
    parser.add_argument("--double-quant", action="store_true")
    parser.add_argument("--compute-dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    return parser.parse_args()


def make_spec(model: Path, options: argparse.Namespace) -> JobSpec:
    """Return the reference recipe for a few updates, with one row held out."""
    return JobSpec.model_validate(
        {
            "model": model.name,
            "dataset": {"train": "ds_00000000", "eval_size": 1},
            "quantization": {
                "double_quant": options.double_quant,
                "compute_dtype": options.compute_dtype,
            },
            "lora": {"rank": options.rank, "alpha": 2 * options.rank},
            "training": {"max_steps": options.updates, "max_length": options.max_length},
            "engine": options.engine,
        }
    )


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


def run_process(
    command: list[str],
    output: Any,
    ends_at: float = math.inf,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Run a process until it exits; return its peak resident memory in bytes.

    Raises SystemExit if it is still running at `ends_at`, a time of the monotonic clock; the process is then killed.
    """
    environment = {"OMP_WAIT_POLICY": "passive"} | os.environ  # as in the training program
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"} | dict(
        variables or {}
    )
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_bytes_so_far(process.pid))
        if time.monotonic() > ends_at:
            process.kill()
            process.wait()
            raise SystemExit(TOO_LONG)
        time.sleep(0.02)
    return peak


def peak_bytes_so_far(pid: int) -> int:
    """Return a process's peak resident memory in bytes; 0 once it has ended. rusage would include its parent's memory at the fork."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found.group(1)) if found else 0


def peers_python() -> Path:
    """Return the interpreter of the peers' environment, created on first use: TRL on top of Stepline's packages."""
    python = PEERS_ENVIRONMENT / "bin" / "python"
    if not list(PEERS_ENVIRONMENT.glob("lib/python*/site-packages/trl")):
        venv.create(PEERS_ENVIRONMENT, with_pip=True)
        (site,) = (PEERS_ENVIRONMENT / "lib").glob("python*/site-packages")
        (site / "stepline.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", TRL], check=True)
    return python


def make_model(folder: Path, data: Path) -> Path:
    """Create a small Qwen2 with random weights, the full vocabulary (151,936), and a tokenizer trained on the data."""
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415

    from tests.tiny_model import make_tokenizer  # noqa: PLC0415

    path = folder / "small-body-qwen2"
    texts = [json.dumps(row, ensure_ascii=False) for row in read_rows(data)]
    make_tokenizer(texts, vocabulary=20_000).save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(path)
    return path


def report(sides: list[Side], summary: Summary, limit: float) -> None:
    """Print the table, the losses side by side, and JSON in the last line."""
    ours = sides[0]
    print(f"device: {summary.device}  choices: {json.dumps(summary.choices, ensure_ascii=False)}")
    print(f"{'side':<10} {'tokens/s':>9} {'peak GB':>8}  losses")
    for side in sides:
        losses = " ".join(f"{loss:.6f}" for loss in side.runs[0].losses)
        print(
            f"{side.name:<10} {side.tokens_per_second:>9.1f} {side.peak_bytes / 1e9:>8.2f}  {losses}"
        )
    share = ours.tokens_per_second / limit
    print(
        f"limit with matrix multiplications at peak speed: {limit:.1f} tokens/s; Stepline reaches {share:.0%}"
    )
    ratios, differences = {"tokens_per_second_vs_limit": share}, {}
    for side in sides[1:]:
        updates = len(side.runs[0].seconds)  # a slow peer runs fewer: compare the same updates
        ratios[f"tokens_per_second_vs_{side.name}"] = (
            ours.tokens_per_second_of(updates) / side.tokens_per_second
        )
        ratios[f"memory_vs_{side.name}"] = ours.peak_bytes / side.peak_bytes
        pairs = zip(ours.runs[0].losses, side.runs[0].losses, strict=False)  # the same updates
        differences[side.name] = max(abs(a - b) for a, b in pairs)
    result = {
        side.name: {
            "tokens_per_second": side.tokens_per_second,
            "peak_bytes": side.peak_bytes,
            "losses": side.runs[0].losses,
        }
        for side in sides
    }
    print(json.dumps(result | {"ratios": ratios, "largest_loss_differences": differences}))


if __name__ == "__main__":
    main()
