"""The peers of the benchmarks: their interpreters, their settings, and what the report says if one is missing or fails."""

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.engine.__main__ import run_installed
from benchmarks.engine.peers import PeerNotFoundError, find_interpreter
from benchmarks.gpu.cells import Bench, Cell, Result, Results, measure
from benchmarks.gpu.report import table
from benchmarks.peers import llamafactory, unsloth
from benchmarks.peers.checks import find_differences
from benchmarks.peers.windows import Plan

PLAN = Plan(
    model="/models/base",
    windows=[[{"input_ids": [1] * length, "labels": [1] * length} for length in (3, 7)]] * 5,
    per_device_batch_size=2,
    gradient_accumulation_steps=3,
    learning_rate=3e-4,
    rank=8,
    alpha=24,
    seed=7,
    double_quant=True,
    compute_dtype="bfloat16",
)


def make_interpreter(folder: Path, program: str) -> Path:
    """Write a script that answers the question for versions and otherwise runs `program`, as a Python interpreter would."""
    path = folder / "python"
    answer = '{"llamafactory": "0.9.5", "transformers": "5.6.0"}'
    path.write_text(f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{answer}'; exit; fi\n{program}\n")
    path.chmod(0o755)
    return path


def make_bench(folder: Path, python: Path | None) -> Bench:
    """Return a bench whose tiny model and plan exist."""
    (folder / "qwen2-tiny").mkdir()
    (folder / "qwen2-tiny" / "tokenizer.json").touch()
    interpreters = {"llamafactory": python}
    return Bench(folder, folder / "rows.jsonl", 3, interpreters, {"tiny": PLAN})


def test_an_interpreter_that_cannot_be_run_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(PeerNotFoundError, match=r"none cannot be run: No such file"):
        find_interpreter("unsloth", {"unsloth": tmp_path / "none"})


def test_an_interpreter_without_the_peer_is_reported_with_its_path() -> None:
    with pytest.raises(PeerNotFoundError, match=f"not installed in {sys.executable}"):
        find_interpreter("unsloth", {"unsloth": Path(sys.executable)})


def test_a_peer_that_is_not_installed_here_is_reported_with_the_option_to_use() -> None:
    with pytest.raises(PeerNotFoundError, match="see --unsloth-python"):
        find_interpreter("unsloth", {"unsloth": None})


def test_the_versions_of_a_peer_come_from_its_own_interpreter(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path, "exit 1")

    found = find_interpreter("llamafactory", {"llamafactory": python})

    assert found.python == str(python)
    assert found.versions == "llamafactory 0.9.5, transformers 5.6.0"


def test_a_peer_that_fails_is_reported_with_the_last_line_of_its_output(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path, "echo Traceback; echo 'ValueError: a | b'; exit 1")
    cell = Cell("tiny", "LLaMA-Factory")

    result = measure(cell, make_bench(tmp_path, python))

    assert result.failure == "failed: ValueError: a | b"
    text = table("CPU", {cell: result})
    assert r"| tiny | LLaMA-Factory | 1 | failed: ValueError: a \| b | | | | | | | |" in text
    assert "LLaMA-Factory ran with llamafactory 0.9.5, transformers 5.6.0." in text


def test_a_peer_trains_the_plan_and_its_differences_are_in_the_table(tmp_path: Path) -> None:
    figures = (
        '{"losses": [3, 2, 1, 1, 1], "seconds": [9, 9, 1, 1, 2], "peak_device_bytes": 5000000000, '
        '"differences": ["double quantization is on"]}'
    )
    python = make_interpreter(tmp_path, f'test -s "$4" && echo \'{figures}\' > "$5"')
    cell = Cell("tiny", "LLaMA-Factory")

    result = measure(cell, make_bench(tmp_path, python))

    assert result.failure is None
    assert result.tokens_per_second == 30 / 4  # without the two warm-up updates
    assert result.losses == [3, 2, 1, 1, 1]
    assert "| 5.00 |" in table("CPU", {cell: result})
    assert "| double quantization is on |" in table("CPU", {cell: result})


def test_a_missing_peer_is_one_line_below_the_table() -> None:
    text = table("CPU", {}, {"Unsloth": "not installed; see --unsloth-python"})

    assert text.endswith("\n- Unsloth: not installed; see --unsloth-python.\n")


def test_the_engine_benchmark_goes_on_without_an_optional_peer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = make_interpreter(tmp_path, "echo 'ValueError: no GPU'; exit 1")
    options = argparse.Namespace(unsloth_python=tmp_path / "none", llamafactory_python=python)

    found = [run_installed(each, PLAN, tmp_path, options) for each in ("unsloth", "llamafactory")]

    assert found == [None, None]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("unsloth: ")
    assert second == "llamafactory: failed: ValueError: no GPU"


def test_figures_of_other_versions_of_a_peer_are_not_used_again(tmp_path: Path) -> None:
    cell, results = Cell("7B", "Unsloth"), Results(tmp_path)
    results.keep(cell, Result(None, 5.0, versions="unsloth 1"))

    assert results.find(cell, "unsloth 1") == Result(None, 5.0, versions="unsloth 1")
    assert results.find(cell, "unsloth 2") is None


@pytest.mark.parametrize(
    "found",
    [
        llamafactory.make_arguments(PLAN, Path("/work"), on_cpu=False),
        unsloth.make_arguments(PLAN, Path("/work")),
    ],
    ids=["llamafactory", "unsloth"],
)
def test_a_peer_gets_the_hyperparameters_of_the_plan(found: dict[str, Any]) -> None:
    expected = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 3,
        "learning_rate": 3e-4,
        "lr_scheduler_type": "cosine",
        "max_steps": 5,
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "bf16": True,
        "seed": 7,
    }

    assert found.items() >= expected.items()


def test_llamafactory_gets_the_quantization_and_the_adapter_of_the_plan() -> None:
    found = llamafactory.make_arguments(PLAN, Path("/work"), on_cpu=True)

    expected = {
        "quantization_bit": 4,
        "quantization_type": "nf4",
        "double_quantization": True,
        "lora_rank": 8,
        "lora_alpha": 24,
        "lora_dropout": 0.0,
        "lora_target": "all",
        "tokenized_path": "/work/samples",
        "disable_shuffling": True,
        "use_cpu": True,
    }
    assert found.items() >= expected.items()


def test_settings_that_a_peer_replaced_are_found_in_its_model() -> None:
    def differences(*, double: bool, rank: int, dtype: torch.dtype) -> list[str]:
        model: Any = torch.nn.Linear(2, 2, dtype=dtype)
        quantization = {
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": double,
            "bnb_4bit_compute_dtype": "bfloat16",
        }
        model.config = SimpleNamespace(quantization_config=quantization)
        adapter = SimpleNamespace(r=rank, lora_alpha=24, lora_dropout=0.0)
        model.peft_config = {"default": adapter}
        return find_differences(PLAN, model)

    assert differences(double=True, rank=8, dtype=torch.float32) == []
    assert differences(double=False, rank=4, dtype=torch.bfloat16) == [
        "double quantization is off",
        "rank 4",
        "the adapter is bfloat16",
    ]
