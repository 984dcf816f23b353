"""The GPU benchmark: its measurements and their order, its table and, with --slow, a complete run on a tiny model."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import cells as gpu_cells
from benchmarks.gpu.cells import TRAINER, Bench, Cell, Result, Results, cells, measure
from benchmarks.gpu.report import table
from benchmarks.gpu.shapes import make_rows

WHOLE = """
import sys
from benchmarks.gpu.__main__ import main
status = main()
print("torch was imported:", "torch" in sys.modules, file=sys.stderr)
sys.exit(status)
"""
"""A complete run of the benchmark."""


ON_A_STUBBED_GPU = """
import subprocess, sys
from benchmarks.peers import device
answers = {"describe": {"name": "Stub GPU", "gpus": 1, "memory_bytes": 80 * 2**30, "capability": "9.0", "cuda": "13.0"}}
device._ask = lambda question, *_: answers[question]
from benchmarks.gpu import __main__ as gpu
gpu.subprocess.run = lambda command, **_: subprocess.CompletedProcess(command, 0)  # the check of the device
gpu.find_peers = lambda bench: ({}, {"Unsloth": "missing", "LLaMA-Factory": "missing"})
gpu.measure = lambda cell, *_: gpu.Result(failure="not measured")
folder = sys.argv[1]
sys.argv[1:] = ["--quick", "--no-tests", "--state", folder, "--output", f"{folder}/gpu.md"]
assert gpu.main() == 0
print("torch was imported:", "torch" in sys.modules)
"""
"""The benchmark's set-up, on a GPU that does not exist."""


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


def test_only_failures_that_would_repeat_are_stored(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for setting, failure in (("auto", "oom_gpu"), ("compile", "crashed")):
        results.keep(Cell("7B", setting), Result(failure=failure))

    assert results.find(Cell("7B", "auto")) == Result(failure="oom_gpu")
    assert results.find(Cell("7B", "compile")) is None


def test_a_measurement_ends_at_its_time_limit_and_the_table_is_still_written(
    tmp_path: Path,
) -> None:
    data = make_rows(tmp_path / "rows.jsonl")
    (tmp_path / "qwen2-tiny").mkdir()
    (tmp_path / "qwen2-tiny" / "tokenizer.json").touch()  # not read before the time limit

    result = measure(Cell("tiny", "auto"), Bench(tmp_path, data, 1), ends_at=time.monotonic())

    assert result == Result(failure="the time limit was reached")
    assert "the time limit was reached" in table("CPU", {Cell("tiny", "auto"): result})


def test_a_model_that_cannot_be_made_does_not_end_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Path:
        raise SystemExit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 15.00 GiB")

    monkeypatch.setattr(gpu_cells, "make_model", fail)

    result = measure(Cell("tiny", "auto"), Bench(tmp_path, tmp_path / "rows.jsonl", 1))

    assert result == Result(failure="out of memory")


def test_the_process_that_starts_the_measurements_never_imports_torch(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", ON_A_STUBBED_GPU, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Stub GPU, compute capability 9.0, 80 GiB" in (tmp_path / "gpu.md").read_text()
    assert process.stdout.endswith("torch was imported: False\n")


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
                *(sys.executable, "-c", WHOLE, "--allow-cpu", "--no-tests"),
                *("--shapes", "tiny", "--settings", ",".join(settings), "--updates", "1"),
                *("--gpus", "2", "--state", str(tmp_path), "--output", str(tmp_path / "gpu.md")),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert process.stderr.endswith("torch was imported: False\n")
        found: dict[str, dict[str, object]] = json.loads(process.stdout.splitlines()[-1])
        assert ("tiny auto 1: running" in process.stdout) == (TRAINER not in settings)
        return found

    first = run("auto")
    both = run("auto", TRAINER)

    assert both["tiny auto 1"] == first["tiny auto 1"]
    assert first["tiny auto 1"].keys() >= {"predicted_bytes"}
    assert {name: result["failure"] for name, result in both.items()} == {
        "tiny auto 1": None,
        "tiny Trainer 1": None,
        "tiny auto 2": None,
    }
    assert "| tiny | Trainer | 1 |" in (tmp_path / "gpu.md").read_text()
