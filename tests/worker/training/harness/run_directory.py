"""Creates run directories, runs the program on them, and reads its output."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.attempt import Outcome
from contracts.record import MetricRecord, Record, decode_line
from contracts.run.run_dir import RunDir
from contracts.summary import Summary
from tests.programs import waiting
from tests.tiny_model import make_rows, write_rows
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.forked import Forked, fork
from worker.training.run import run_to_outcome
from worker.training.rundir.stop import Stop

DEADLINE_SECONDS = 180
SPEC: dict[str, Any] = {
    "dataset": {"train": "ds_00000000", "eval_size": 5},
    "evaluation": {"every_steps": 2},
    # `auto` computes in bfloat16 on a CPU with AMX units; the tests need the same figures on every machine.
    "quantization": {"compute_dtype": "float32"},
    "training": {"per_device_batch_size": 4, "gradient_accumulation_steps": 2, "epochs": 1},
}


def make_run_dir(
    path: Path, model: Path, rows: list[Any] | None = None, spec: dict[str, Any] | None = None
) -> RunDir:
    """Create the directory of a run, by default of 4 steps over 37 rows. Top-level fields of `spec` replace the defaults."""
    run_dir = RunDir(path)
    write_rows(run_dir.train_data, make_rows(37) if rows is None else rows)
    run_dir.model.symlink_to(model)
    run_dir.spec.write_text(small_spec(**(SPEC | (spec or {}))).model_dump_json())
    return run_dir


def start(run_dir: RunDir, *options: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start the program in its own process, with the given environment variables in addition to the usual ones."""
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment |= variables
    with run_dir.output.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "worker.training", str(run_dir.path), *options],
            stdout=output,
            stderr=output,
            env=environment,
        )


def run(run_dir: RunDir) -> Outcome:
    """Run the program in its own process until it exits."""
    assert fork(run_dir).wait(DEADLINE_SECONDS) == 0, run_dir.output.read_text()
    return outcome_of(run_dir)


def run_here(run_dir: RunDir, stop: Stop | None = None) -> Outcome:
    """Run the program in this process. This saves seconds in tests that do not need a separate process."""
    run_to_outcome(run_dir, stop or Stop(run_dir.control))
    return outcome_of(run_dir)


def outcome_of(run_dir: RunDir) -> Outcome:
    return Outcome.model_validate_json(run_dir.outcome.read_bytes())


def summary_of(run_dir: RunDir) -> Summary:
    return Summary.model_validate_json(run_dir.summary.read_bytes())


def records(run_dir: RunDir) -> list[Record]:
    """Return the complete records written so far."""
    if not run_dir.records.exists():
        return []
    whole = run_dir.records.read_bytes().rpartition(b"\n")[0]
    return [decode_line(line) for line in whole.splitlines()]


def losses(run_dir: RunDir) -> dict[int, float]:
    return {r.step: r.values["loss"] for r in records(run_dir) if isinstance(r, MetricRecord)}


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes] | Forked) -> None:
    """Wait until the condition holds; fail if the process exits first."""

    def is_met() -> object:
        if found := condition():
            return found
        assert process.poll() is None, "the program ended early"
        return None

    waiting.wait_for(is_met, seconds=DEADLINE_SECONDS)
