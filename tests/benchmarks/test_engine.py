"""The engine's benchmark, whole, on the tiny model: both sides train the same thing, and the last line is JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import make_rows, make_tiny_qwen2, write_rows


@pytest.mark.slow
@pytest.mark.parametrize("model", ["given", "make"])
def test_losses_equal_the_trainers_and_ratios_are_told(tmp_path: Path, model: str) -> None:
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
