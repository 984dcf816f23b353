"""The complete engine benchmark on the tiny model: Stepline and the Trainer use the same batches, and the last line is JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers.roofline import flops_per_token
from benchmarks.peers.windows import Plan
from tests.factories import make_summary
from tests.tiny_model import make_rows, make_tiny_qwen2, write_rows
from tests.worker.training.conftest import small_spec
from worker.training.compute.device import choose_device
from worker.training.model.load import load_model
from worker.training.report.flops import training_flops


def test_the_benchmark_and_a_run_count_the_same_operations_per_token(tmp_path: Path) -> None:
    path = make_tiny_qwen2(tmp_path)
    model = load_model(path, small_spec(), choose_device("float32", None))
    plan = Plan(
        model=str(path),
        windows=[[{"input_ids": [1] * 5, "labels": [-100, -100, -100, 1, 1]}]],
        per_device_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=2e-4,
        rank=8,
        alpha=16,
        seed=42,
        double_quant=False,
        compute_dtype="float32",
    )
    summary = make_summary(
        trainable_parameters=model.trainable_parameters, all_parameters=model.all_parameters
    )

    found = flops_per_token(plan, summary)

    # Norms and biases count as parameters, but are not used in matrix products.
    assert found == pytest.approx(training_flops(model, 5, 2) / 5, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["given", "make"])
def test_losses_equal_those_of_the_trainer_and_ratios_are_reported(
    tmp_path: Path, model: str
) -> None:
    if model == "given":
        model = str(make_tiny_qwen2(tmp_path / "tiny-qwen2"))
    data = write_rows(tmp_path / "rows.jsonl", make_rows(40))

    process = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.engine", "--model", model, "--data", str(data)),
            *("--updates", "2", "--pairs", "2", "--max-length", "128", "--rank", "8"),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )

    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    assert len(result["stepline"]["losses"]) == 2
    assert result["stepline"]["losses"] == pytest.approx(result["trainer"]["losses"], abs=1e-3)
    assert set(result["ratios"]) == {
        "tokens_per_second_vs_limit",
        "tokens_per_second_vs_trainer",
        "memory_vs_trainer",
    }
    assert all(ratio > 0 for ratio in result["ratios"].values())
