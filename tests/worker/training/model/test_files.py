import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts.failure import FailureReason
from worker.training.errors import TrainingError
from worker.training.model.files import check_model_files, count_parameters, digest_base


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def remove_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def leave_only_pickles(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def remove_a_shard(model: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


CASES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda m: change_json(m / "config.json", auto_map={"AutoModel": "x.Y"}), "auto_map"),
    (lambda m: change_json(m / "tokenizer_config.json", auto_map={}), "tokenizer_config.json"),
    (lambda m: change_json(m / "config.json", trust_remote_code=True), "trust_remote_code"),
    (
        lambda m: change_json(
            m / "config.json", text_config={"_attn_implementation_internal": "x/y"}
        ),
        "_attn_implementation_internal",
    ),
    (lambda m: change_json(m / "config.json", quantization_config={"a": 1}), "already quantized"),
    (lambda m: (m / "config.json").write_text("{"), "config.json is not valid JSON"),
    (lambda m: (m / "config.json").write_text("[]"), "does not contain a JSON object"),
    (lambda m: (m / "adapter_config.json").write_text("{}"), "adapter_config.json"),
    (remove_weights, "no *.safetensors"),
    (leave_only_pickles, "pytorch_model.bin"),
    (remove_a_shard, "model-00001-of-00002.safetensors"),
    (lambda m: (m / "model.safetensors").write_bytes(b""), "damaged or truncated"),
]


@pytest.mark.parametrize(("damage", "message"), CASES, ids=[message for _, message in CASES])
def test_a_model_that_must_not_be_loaded_is_rejected_with_the_reason(
    copy: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(copy)

    with pytest.raises(TrainingError) as caught:
        check_model_files(copy)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert message in caught.value.failure.detail


def test_a_directory_without_a_config_is_reported_as_model_not_found(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        check_model_files(tmp_path)

    assert caught.value.failure.reason is FailureReason.MODEL_NOT_FOUND


def test_a_complete_model_is_accepted_and_its_parameters_are_counted(tiny_model: Path) -> None:
    check_model_files(tiny_model)
    assert count_parameters(tiny_model) == 346_752


def test_a_copy_saved_in_shards_by_another_version_counts_as_the_same_base(
    tiny_model: Path, copy: Path
) -> None:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, keys in shards.items():
        save_file({key: weights[key] for key in keys}, copy / shard)
    index = {"weight_map": {key: shard for shard, keys in shards.items() for key in keys}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"other": torch.ones(2)}, copy / "consolidated.safetensors")  # never loaded
    change_json(copy / "config.json", transformers_version="0", dtype="bfloat16")

    assert digest_base(copy) == digest_base(tiny_model)


def change_a_bias(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["model.layers.1.self_attn.q_proj.bias"][-1] += 1
    save_file(weights, model / "model.safetensors")


def scale_a_matrix(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"] *= 1.001
    save_file(weights, model / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        change_a_bias,
        scale_a_matrix,
        lambda model: change_json(model / "config.json", rms_norm_eps=1e-3),
    ],
)
def test_changed_weights_or_a_changed_config_count_as_a_different_base(
    tiny_model: Path, copy: Path, change: Callable[[Path], Any]
) -> None:
    change(copy)

    assert digest_base(copy) != digest_base(tiny_model)
