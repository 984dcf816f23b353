"""Model directories with links that lead elsewhere, or with content that no loader expects.

Each is rejected as model_refused, and the error names the file.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from contracts.failure import FailureReason
from contracts.run.run_dir import Placed, write_model
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import make_run_dir, run_here
from worker.supervisor.placing.models import PlacingFailed, find_local
from worker.training.errors import TrainingError
from worker.training.model.files import check_model_files
from worker.training.model.length import check_length
from worker.training.model.tokenizer import load_tokenizer

INDEX = "model.safetensors.index.json"


@pytest.fixture
def root(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a models root that contains a model with one shard; another weights file is outside the root."""
    model = tmp_path / "models" / "tiny"
    model.mkdir(parents=True)
    for path in tiny_model.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").rename(tmp_path / "secret.safetensors")
    save_file(weights, model / "shard.safetensors")
    write_index(model, dict.fromkeys(weights, "shard.safetensors"))
    return tmp_path / "models"


def write_index(model: Path, weight_map: Any, **more: Any) -> None:
    content = {"metadata": {}, "weight_map": weight_map} | more
    (model / INDEX).write_text(json.dumps(content))


def change_config(model: Path, name: str, **changes: Any) -> None:
    path = model / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reject(root: Path) -> str:
    """Place and check the model as a worker does; return the reason for rejecting it."""
    with pytest.raises((PlacingFailed, TrainingError)) as caught:
        load(root)

    assert isinstance(caught.value, PlacingFailed | TrainingError)
    failure = caught.value.failure
    assert failure.reason is FailureReason.MODEL_REFUSED
    failure.model_dump_json().encode()  # can be sent and stored
    return failure.detail


def load(root: Path) -> None:
    placed = find_local(root, "tiny")
    assert placed is not None
    check_model_files(placed.path, placed.roots)
    check_length(placed.path, small_spec())
    load_tokenizer(placed.path)


def test_a_sharded_model_is_accepted(root: Path) -> None:
    load(root)


@pytest.mark.parametrize(
    "name",
    [
        "../../secret.safetensors",
        "../tiny/shard.safetensors",
        "./shard.safetensors",
        "/etc/passwd",
        "sub/shard.safetensors",
        "..",
        ".",
        "",
        "a\0b",
        "\ud800.safetensors",
        "x" * 5_000,
    ],
)
def test_a_shard_index_that_points_outside_the_model_is_rejected(root: Path, name: str) -> None:
    write_index(root / "tiny", {"a": "shard.safetensors", "b": name})

    assert INDEX in reject(root)


def test_an_absolute_path_to_existing_weights_is_rejected(root: Path) -> None:
    write_index(root / "tiny", {"a": str(root.parent / "secret.safetensors")})

    assert "secret.safetensors" in reject(root)


@pytest.mark.parametrize("name", ["shard.safetensors", "tokenizer.json", "x/deep.safetensors"])
def test_a_link_that_leads_out_of_the_models_root_is_rejected_by_name(
    root: Path, name: str
) -> None:
    path = root / "tiny" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(root.parent / "secret.safetensors")

    assert f"{name} is a link that points outside the worker's models root" in reject(root)


def test_the_training_program_rejects_a_link_created_after_the_model_was_placed(
    root: Path, tmp_path: Path
) -> None:
    placed = find_local(root, "tiny")
    assert placed is not None
    (placed.path / "shard.safetensors").unlink()
    (placed.path / "shard.safetensors").symlink_to(tmp_path / "secret.safetensors")
    run_dir = make_run_dir(tmp_path / "run", placed.path)
    write_model(run_dir.placed, Placed(model_roots=placed.roots))

    failure = run_here(run_dir).failure

    assert failure is not None
    assert failure.reason is FailureReason.MODEL_REFUSED
    assert "shard.safetensors is a link" in failure.detail


@pytest.mark.parametrize("name", ["shard.safetensors", "tokenizer.json"])
def test_a_link_to_itself_is_rejected(root: Path, name: str) -> None:
    path = root / "tiny" / name
    path.unlink()
    path.symlink_to(name)

    assert reject(root)


def test_a_link_to_itself_that_no_loader_reads_is_ignored(root: Path) -> None:
    (root / "tiny" / "notes.txt").symlink_to("notes.txt")

    load(root)


@pytest.mark.parametrize(
    "weight_map",
    [
        None,
        [],
        ["shard.safetensors"],
        "shard.safetensors",
        7,
        {},
        {"a": None},
        {"a": 7},
        {"a": ["shard.safetensors"]},
        {"a": {"b": "shard.safetensors"}},
        {"a": "shard.safetensors", "b": 7},
    ],
    ids=repr,
)
def test_a_shard_index_with_wrong_types_is_rejected(root: Path, weight_map: Any) -> None:
    write_index(root / "tiny", weight_map)

    assert INDEX in reject(root)


UNEXPECTED_FILES: dict[str, Callable[[Path], Any]] = {
    "metadata": lambda m: write_index(m, {"a": "shard.safetensors"}, metadata=7),
    "deep config": lambda m: (m / "config.json").write_text('{"a":' * 5_000 + "1" + "}" * 5_000),
    "deep index": lambda m: (m / INDEX).write_text("[" * 100_000),
    "not UTF-8": lambda m: (m / "config.json").write_bytes(b'{"a": "\xff"}'),
    "list": lambda m: (m / "tokenizer_config.json").write_text("[]"),
    "dtype": lambda m: change_config(m, "config.json", dtype="x"),
    "layers": lambda m: change_config(m, "config.json", num_hidden_layers="two"),
    "model_type": lambda m: change_config(m, "config.json", model_type=["qwen2"]),
    "other weights": lambda m: change_config(
        m, "config.json", transformers_weights="../../secret.safetensors"
    ),
    "added tokens": lambda m: change_config(m, "tokenizer_config.json", added_tokens_decoder=[7]),
    "no tokenizer": lambda m: (m / "tokenizer.json").unlink(),
    "tokenizer": lambda m: (m / "tokenizer.json").write_text('{"model": 7}'),
}


@pytest.mark.parametrize("damage", UNEXPECTED_FILES.values(), ids=UNEXPECTED_FILES)
def test_a_file_with_unexpected_content_is_rejected(
    root: Path, damage: Callable[[Path], Any]
) -> None:
    damage(root / "tiny")

    assert reject(root)
