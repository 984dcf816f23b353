"""Runs one side, Stepline or a peer, on the same samples, and returns its measurements."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.engine.peers import PROGRAMS, Interpreters, find_interpreter
from benchmarks.engine.processes import run_process
from benchmarks.peers.device import find_device, one_gpu
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
    differences: list[str] = field(default_factory=list)
    """Settings of the recipe that a peer did not follow, in words."""

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
    plan = make_plan(run_dir)
    records = [decode_line(line) for line in run_dir.records.read_bytes().splitlines()]
    steps = [each for each in records if isinstance(each, MetricRecord) and "loss" in each.values]
    return (
        summary,
        plan,
        Run(
            losses=[step.values["loss"] for step in steps],
            seconds=[step.values["seconds"] for step in steps],
            tokens=plan.tokens,
            peak_bytes=(summary.peak_memory_bytes or 0) if find_device().is_gpu else peak,
        ),
    )


def read_rows(data: Path) -> list[Any]:
    """Return the rows of a JSON or JSONL file."""
    text = data.read_text()
    if text.lstrip().startswith("["):
        rows: list[Any] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def make_plan(run_dir: RunDir) -> Plan:
    """Return the samples of each update for the peers. A child process makes the plan, so that this one does not import torch."""
    path = run_dir.path / "plan.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine.plan", str(run_dir.path), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return Plan.load(path)


def run_peer(
    peer: str,
    plan: Plan,
    folder: Path,
    interpreters: Interpreters | None = None,
    *,
    ends_at: float = math.inf,
) -> Run:
    """Run a peer on the plan and on one device. On a CPU, where TRL is slow, it runs only one update.

    `interpreters` are those of the optional peers. Raises PeerNotFoundError if the peer is not installed, and SystemExit with
    the end of its output if it fails; `ends_at` as in `run_process`.
    """
    python = find_interpreter(peer, interpreters or {}).python
    count = 1 if peer == "trl" and not find_device().is_gpu else len(plan.windows)
    path, result = folder / f"{peer}-plan.json", folder / f"{peer}.json"
    replace(plan, windows=plan.windows[:count]).save(path)
    result.unlink(missing_ok=True)  # of an earlier run
    with (folder / f"{peer}.log").open("wb") as output:
        command = [python, "-m", PROGRAMS[peer], peer, str(path), str(result)]
        peak = run_process(command, output, ends_at, one_gpu())
    if not result.exists():
        raise SystemExit((folder / f"{peer}.log").read_text(errors="replace")[-4000:])
    figures = json.loads(result.read_text())
    return Run(
        losses=figures["losses"],
        seconds=figures["seconds"],
        tokens=plan.tokens[:count],
        peak_bytes=figures["peak_device_bytes"] or peak,
        differences=figures.get("differences", []),
    )
