import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.failure import FailureReason
from worker.training.errors import TrainingError
from worker.training.model_files import check_model_files, count_parameters


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def remove_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def leave_pickles(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def lose_a_shard(model: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


SPOILERS: list[tuple[Callable[[Path], Any], str]] = [
    (lambda m: change_json(m / "config.json", auto_map={"AutoModel": "x.Y"}), "auto_map"),
    (lambda m: change_json(m / "tokenizer_config.json", auto_map={}), "tokenizer_config.json"),
    (lambda m: change_json(m / "config.json", trust_remote_code=True), "trust_remote_code"),
    (
        lambda m: change_json(
            m / "config.json", text_config={"_attn_implementation_internal": "x/y"}
        ),
        "_attn_implementation_internal",
    ),
    (lambda m: change_json(m / "config.json", quantization_config={"a": 1}), "quantised already"),
    (lambda m: (m / "config.json").write_text("{"), "config.json is not JSON"),
    (lambda m: (m / "config.json").write_text("[]"), "does not hold a JSON object"),
    (lambda m: (m / "adapter_config.json").write_text("{}"), "adapter_config.json"),
    (remove_weights, "no *.safetensors"),
    (leave_pickles, "pytorch_model.bin"),
    (lose_a_shard, "model-00001-of-00002.safetensors"),
    (lambda m: (m / "model.safetensors").write_bytes(b""), "broken or cut short"),
]


@pytest.mark.parametrize(("spoil", "told"), SPOILERS, ids=[told for _, told in SPOILERS])
def test_model_that_must_not_be_loaded_is_refused_with_the_reason(
    copy: Path, spoil: Callable[[Path], Any], told: str
) -> None:
    spoil(copy)

    with pytest.raises(TrainingError) as caught:
        check_model_files(copy)

    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert told in caught.value.failure.detail


def test_directory_without_config_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        check_model_files(tmp_path)

    assert caught.value.failure.reason is FailureReason.MODEL_NOT_FOUND


def test_whole_model_is_accepted_and_its_parameters_counted(tiny_model: Path) -> None:
    check_model_files(tiny_model)
    assert count_parameters(tiny_model) == 346_752
