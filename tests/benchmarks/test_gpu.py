"""The GPU benchmark: its measurements and their order, its table and, with --slow, a complete run on a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.cells import TRAINER, Cell, Result, Results, cells
from benchmarks.gpu.report import table


def test_each_model_is_measured_with_every_setting_and_with_all_gpus() -> None:
    found = list(cells(["0.5B", "7B"], ["auto", TRAINER], gpus=4))

    assert found[:3] == [Cell("0.5B", "auto"), Cell("0.5B", TRAINER), Cell("0.5B", "auto", 4)]
    assert len(found) == 6
    assert len(list(cells(["0.5B"], ["auto"], gpus=1))) == 1


def test_a_stored_result_is_found_again(tmp_path: Path) -> None:
    cell, result = Cell("0.5B", "auto"), Result(None, 123.4, 5e9, losses=[2.5])

    Results(tmp_path / "results").keep(cell, result)

    assert Results(tmp_path / "results").find(cell) == result
    assert Results(tmp_path / "results").find(Cell("0.5B", "auto", 2)) is None


def test_the_table_shows_ratios_to_the_trainer_and_models_that_do_not_fit() -> None:
    text = table(
        "One GPU",
        {
            Cell("0.5B", "auto"): Result(
                None, 3000.0, 4e9, 4.4e9, utilisation=0.31, roofline=0.5, losses=[2.5, 2.25]
            ),
            Cell("0.5B", TRAINER): Result(None, 1500.0, 9e9, losses=[2.5, 2.2]),
            Cell("7B", "auto"): Result(failure="oom_gpu"),
        },
    )

    assert text.startswith("One GPU\n")
    assert "| 0.5B | auto | 1 | 3,000 | 2.00 | 4.00 | 4.40 | 31% | 50% | 0 |" in text
    assert "| 0.5B | Trainer | 1 | 1,500 | 1.00 | 9.00 |  |  |  | 0.05 |" in text
    assert "| 7B | auto | 1 | oom_gpu |" in text


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a usable GPU")
def test_without_a_gpu_the_benchmark_fails_with_a_clear_message() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--quick"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 1
    assert "torch cannot use a GPU" in process.stderr


@pytest.mark.slow
def test_a_complete_run_on_a_tiny_model_continues_where_it_stopped(tmp_path: Path) -> None:
    def run(*settings: str) -> dict[str, dict[str, object]]:
        process = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.gpu", "--allow-cpu", "--no-tests"),
                *("--shapes", "tiny", "--settings", ",".join(settings), "--updates", "1"),
                *("--gpus", "2", "--state", str(tmp_path), "--output", str(tmp_path / "gpu.md")),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, dict[str, object]] = json.loads(process.stdout.splitlines()[-1])
        assert ("tiny auto 1: running" in process.stdout) == (TRAINER not in settings)
        return found

    first = run("auto")
    both = run("auto", TRAINER)

    assert both["tiny auto 1"] == first["tiny auto 1"]
    assert {name: result["failure"] for name, result in both.items()} == {
        "tiny auto 1": None,
        "tiny Trainer 1": None,
        "tiny auto 2": None,
    }
    assert "| tiny | Trainer | 1 |" in (tmp_path / "gpu.md").read_text()
