"""The plan's predictions for GPUs, made with a build of torch without CUDA."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRACED = {
    ("0.5B", "sdpa", 8705, "no"): 15.97,
    ("7B", "sdpa", 1449, "no"): 9.71,
    ("7B", "varlen", 2048, "no"): 12.63,
    ("7B", "sdpa", 4096, "yes"): 2.31,
}
"""GiB above the resident model, traced with a separate program and bitsandbytes' own layers."""
_ROW = re.compile(r"(\S+) +(sdpa|varlen) +(\d+) +(yes|no) +\S+ +(\S+)")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_predictions_on_fake_cuda_tensors_agree_with_an_independent_trace() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory_plan", "--fake-cuda"],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )

    found = {
        (size, attention, int(tokens), recomputed): float(gib)
        for size, attention, tokens, recomputed, gib in _ROW.findall(done.stdout)
    }
    assert done.returncode == 0, done.stderr
    assert {row: found[row] for row in TRACED} == pytest.approx(TRACED, rel=0.02)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_row_of_the_documented_table_equals_the_output_of_the_plan() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory_fits", "--sizes", "0.5B", "--cards", "80"],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in Path("docs/gpu.md").read_text()
