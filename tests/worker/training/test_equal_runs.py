"""Identical runs produce identical archives, which do not depend on the iteration order of sets."""

import json
import shutil
from pathlib import Path

import peft
import pytest

from contracts.checkpoint import hash_file
from tests.worker.training.harness.run_directory import (
    DEADLINE_SECONDS,
    make_run_dir,
    outcome_of,
    start,
)
from worker.supervisor.results.archive import archive
from worker.training.model.lora.adapter import sort_sets

SPECIAL = [f"<|special_{number}|>" for number in range(9)]


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with many special tokens in its tokenizer."""
    directory = tmp_path_factory.mktemp("special") / "model"
    shutil.copytree(tiny_model, directory)
    config = directory / "tokenizer_config.json"
    content = json.loads(config.read_text())
    content["extra_special_tokens"] = ["<|im_start|>", *SPECIAL]
    config.write_text(json.dumps(content))
    return directory


@pytest.mark.slow
def test_identical_runs_produce_identical_archives(model: Path, tmp_path: Path) -> None:
    run_dirs = [
        make_run_dir(tmp_path / name, model, spec={"training": {"max_steps": 1}})
        for name in ("one", "two")
    ]

    running = [
        start(run_dir, PYTHONHASHSEED=str(seed)) for seed, run_dir in enumerate(run_dirs, start=1)
    ]

    assert [process.wait(DEADLINE_SECONDS) for process in running] == [0, 0]
    for run_dir in run_dirs:
        assert outcome_of(run_dir).status == "succeeded"
        archive(run_dir.adapter, run_dir.adapter_archive)
    one, two = (hash_file(run_dir.adapter_archive) for run_dir in run_dirs)
    assert one == two
    config = json.loads((run_dirs[0].adapter / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert peft.PeftConfig.from_pretrained(run_dirs[0].adapter).r == 8


def test_every_set_in_a_configuration_is_saved_sorted() -> None:
    config = peft.LoraConfig(target_modules=["b", "a", "c"], exclude_modules=["z", "y"])
    sets = {name for name, value in vars(config).items() if isinstance(value, set)}
    assert sets == {"target_modules", "exclude_modules"}

    sort_sets(config)

    assert config.target_modules == ["a", "b", "c"]
    assert config.exclude_modules == ["y", "z"]
