"""The real program in its own process, on the tiny model."""

import hashlib
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contracts.attempt import Outcome, Wanted
from contracts.record import EvalRecord, MetricRecord, PhaseRecord
from contracts.run.run_dir import Control, RunDir, write_model
from tests.tiny_model import make_rows
from tests.worker.training.harness import reference
from tests.worker.training.harness.forked import fork
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    losses,
    make_run_dir,
    outcome_of,
    records,
    run_here,
    start,
    summary_of,
    wait_for,
)

# Plain peft 0.21 asks transformers 5 for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run_dir = make_run_dir(tmp_path_factory.mktemp("finished"), tiny_model)
    assert start(run_dir).wait(DEADLINE_SECONDS) == 0, run_dir.output.read_text()
    assert outcome_of(run_dir) == Outcome(status="succeeded", step=4), run_dir.output.read_text()
    return run_dir


@pytest.mark.slow
def test_the_job_log_contains_no_install_advice_from_libraries(finished: RunDir) -> None:
    assert "pip install" not in finished.output.read_text()


def test_records_are_numbered_without_gaps_and_each_step_has_one_loss(
    finished: RunDir,
) -> None:
    found = records(finished)

    assert [record.seq for record in found] == list(range(1, len(found) + 1))
    assert [r.step for r in found if isinstance(r, MetricRecord)] == [1, 2, 3, 4]
    assert [r.step for r in found if isinstance(r, EvalRecord)] == [0, 2, 4]
    phases = [r.phase.value for r in found if isinstance(r, PhaseRecord)]
    assert phases[:4] == ["loading", "tokenizing", "loading", "evaluating"]
    assert phases[-1] == "saving"
    first = next(r for r in found if isinstance(r, MetricRecord))
    assert set(first.values) >= {"loss", "learning_rate", "grad_norm", "epoch", "tokens", "seconds"}


def test_the_first_losses_equal_those_of_plain_transformers_and_peft(
    finished: RunDir, tiny_model: Path
) -> None:
    train, _ = reference.split(make_rows(37), seed=42, eval_count=5)

    expected = reference.train_losses(tiny_model, train, seed=42, batch=8, steps=3, total=4)

    found = losses(finished)
    assert [found[1], found[2], found[3]] == pytest.approx(expected, abs=1e-4)


def test_the_saved_adapter_has_the_same_eval_loss_in_plain_peft(
    finished: RunDir, tiny_model: Path
) -> None:
    _, held_out = reference.split(make_rows(37), seed=42, eval_count=5)
    summary = summary_of(finished)

    assert summary.eval_loss == pytest.approx(
        reference.eval_loss(tiny_model, finished.adapter, held_out), abs=1e-4
    )
    assert summary.base_eval_loss is not None
    assert summary.base_eval_loss == pytest.approx(
        reference.eval_loss(tiny_model, None, held_out), abs=1e-4
    )
    assert summary.eval_loss < summary.base_eval_loss


def test_the_summary_contains_the_measured_values(finished: RunDir) -> None:
    summary = summary_of(finished)
    metrics = [r for r in records(finished) if isinstance(r, MetricRecord)]
    tokens = [r.values["tokens"] for r in metrics]

    assert summary.perplexity == math.exp(summary.eval_loss)
    assert summary.train_loss == pytest.approx(
        sum(r.values["loss"] * r.values["tokens"] for r in metrics) / sum(tokens)
    )
    assert summary.supervised_tokens == sum(tokens)
    assert (summary.train_rows, summary.eval_rows, summary.steps) == (32, 5, 4)
    assert [point.step for point in summary.evaluations] == [0, 2, 4]
    assert summary.quantized_layers == 14
    assert summary.improvement_interval is not None
    assert summary.base_eval_loss is not None
    assert (
        summary.improvement_interval.low
        < summary.base_eval_loss - summary.eval_loss
        < summary.improvement_interval.high
    )
    assert set(summary.phases) >= {"loading", "tokenizing", "training", "evaluating", "saving"}
    assert summary.choices["compute_dtype"]["value"] == "float32"
    assert summary.choices["attention"]["value"] == "stepline_segments"
    assert summary.peak_memory_bytes
    assert summary.tokens_per_second


def test_the_saved_adapter_is_float32_with_the_models_template_and_no_machine_path(
    finished: RunDir, tiny_model: Path
) -> None:
    weights = load_file(finished.adapter / "adapter_model.safetensors")

    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    config = json.loads((finished.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-qwen2"
    assert (finished.adapter / "chat_template.jinja").read_text() == (
        tiny_model / "chat_template.jinja"
    ).read_text()
    for path in finished.adapter.iterdir():
        content = path.read_bytes()
        assert str(finished.path).encode() not in content
        assert str(tiny_model).encode() not in content


def test_the_base_model_is_not_modified(tiny_model: Path, tmp_path: Path) -> None:
    def digests() -> dict[str, str]:
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tiny_model.iterdir()}

    before = digests()
    run_here(make_run_dir(tmp_path, tiny_model, spec={"training": {"max_steps": 1}}))

    assert digests() == before


def test_the_same_spec_produces_the_same_losses_and_adapter(
    finished: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    again = make_run_dir(tmp_path, tiny_model)

    run_here(again)

    assert losses(again) == losses(finished)
    name = "adapter_model.safetensors"
    assert (again.adapter / name).read_bytes() == (finished.adapter / name).read_bytes()


ENDLESS = {"training": {"epochs": 10_000, "max_length": 512}, "evaluation": {"every_steps": 10**8}}


@pytest.mark.parametrize(
    ("wanted", "status"), [(Wanted.CANCEL, "cancelled"), (Wanted.PAUSE, "paused")]
)
def test_the_control_file_stops_the_run(
    tiny_model: Path, tmp_path: Path, wanted: Wanted, status: str
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec=ENDLESS)
    process = fork(run_dir)
    wait_for(lambda: losses(run_dir), process)

    write_model(run_dir.control, Control(wanted=wanted))

    assert process.wait(DEADLINE_SECONDS) == 0, run_dir.output.read_text()
    outcome = outcome_of(run_dir)
    assert outcome.status == status
    assert outcome.step == max(losses(run_dir))
    assert not run_dir.summary.exists()


def test_sigterm_interrupts_the_run(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec=ENDLESS)
    process = fork(run_dir)
    wait_for(lambda: losses(run_dir), process)

    process.send_signal(signal.SIGTERM)

    assert process.wait(DEADLINE_SECONDS) == 0
    assert outcome_of(run_dir).status == "interrupted"


def test_the_program_is_killed_when_its_parent_dies(tiny_model: Path, tmp_path: Path) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec=ENDLESS)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-m', 'worker.training', sys.argv[1],"
            " '--parent-pid', str(os.getpid())])\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(600)",
            str(run_dir.path),
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_for(lambda: losses(run_dir), parent)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and _is_running(child):
        assert time.monotonic() < deadline, "the training program outlived its parent"
        time.sleep(0.01)
    assert not run_dir.outcome.exists()


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_program_writes_a_heartbeat(finished: RunDir) -> None:
    assert finished.heartbeat.exists()


def test_a_run_directory_can_be_used_only_once(finished: RunDir, tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "worker.training", str(finished.path)],
        capture_output=True,
        check=False,
        text=True,
    )

    assert process.returncode == 2
    assert "has already been used for a run" in process.stderr
