from pathlib import Path

import pytest

from contracts.failure import FailureReason
from worker.supervisor.host.models.models_root import list_models
from worker.supervisor.placing.models import (
    PlacingFailed,
    find_local,
    not_found,
    placed_snapshot,
)


def _model(root: Path, name: str) -> Path:
    path = root / name
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


def place(root: Path, name: str) -> Path:
    placed = find_local(root, name)
    assert placed is not None
    return placed.path


def test_a_model_directory_under_the_root_is_found(tmp_path: Path) -> None:
    path = _model(tmp_path, "tiny")
    owned = _model(tmp_path, "Qwen/Qwen2-0.5B")

    assert place(tmp_path, "tiny") == path
    assert place(tmp_path, "Qwen/Qwen2-0.5B") == owned
    assert list_models(tmp_path) == ["Qwen/Qwen2-0.5B", "tiny"]


def test_a_directory_without_a_model_is_not_found(tmp_path: Path) -> None:
    _model(tmp_path, "Qwen/Qwen2-0.5B")

    assert find_local(tmp_path, "Qwen") is None
    assert find_local(tmp_path, "absent") is None
    assert find_local(None, "tiny") is None
    assert list_models(None) == []
    assert list_models(tmp_path / "absent") == []


def test_a_link_directly_in_the_root_may_point_outside_it(tmp_path: Path) -> None:
    tiny = _model(tmp_path / "big", "tiny")
    owned = _model(tmp_path / "big", "Qwen/Qwen2-0.5B")
    root = tmp_path / "models"
    root.mkdir()
    (root / "tiny").symlink_to(tiny)
    (root / "Qwen").symlink_to(owned.parent)
    (tiny / "model.safetensors").symlink_to(tiny / "config.json")

    assert place(root, "tiny") == tiny
    assert place(root, "Qwen/Qwen2-0.5B") == owned


def test_a_hub_snapshot_may_link_only_to_files_of_its_own_repository(tmp_path: Path) -> None:
    cache = tmp_path / "hub" / "models--a--b"
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "x").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/x")
    root = tmp_path / "models"
    root.mkdir()
    (root / "b").symlink_to(snapshot)

    assert place(root, "b") == snapshot
    assert placed_snapshot("a/b", snapshot, "0123").roots == [cache]

    (tmp_path / "hub" / "models--secret").mkdir()
    (tmp_path / "hub" / "models--secret" / "weights").write_text("x")
    (snapshot / "model.safetensors").symlink_to("../../../models--secret/weights")
    with pytest.raises(PlacingFailed, match=r"b: model\.safetensors is a link"):
        find_local(root, "b")
    with pytest.raises(PlacingFailed, match=r"a/b: model\.safetensors is a link"):
        placed_snapshot("a/b", snapshot, "0123")


def test_a_link_in_a_subdirectory_must_not_point_outside_the_root(tmp_path: Path) -> None:
    outside = _model(tmp_path, "outside")
    root = tmp_path / "models"
    (root / "evil").mkdir(parents=True)
    (root / "evil" / "tiny").symlink_to(outside)

    with pytest.raises(PlacingFailed) as caught:
        find_local(root, "evil/tiny")
    assert caught.value.failure.reason is FailureReason.MODEL_REFUSED
    assert (
        "evil/tiny: the model's directory is a link that points outside"
        in caught.value.failure.detail
    )


def test_a_model_file_that_links_to_a_file_outside_the_root_is_rejected(tmp_path: Path) -> None:
    root = tmp_path / "models"
    path = _model(root, "tiny")
    (tmp_path / "secret").write_text("x")
    (path / "model.safetensors").symlink_to(tmp_path / "secret")

    with pytest.raises(PlacingFailed, match="is a link that points outside"):
        find_local(root, "tiny")


def test_links_within_the_root_are_followed(tmp_path: Path) -> None:
    path = _model(tmp_path, "tiny")
    (path / "model.safetensors").symlink_to(path / "config.json")
    (tmp_path / "alias").symlink_to(path)

    assert place(tmp_path, "alias") == path


def test_the_error_for_a_missing_model_names_the_model_and_the_reason(tmp_path: Path) -> None:
    failure = not_found("a/b", tmp_path, "the hub is switched off").failure

    assert failure.reason is FailureReason.MODEL_NOT_FOUND
    assert "'a/b'" in failure.detail
    assert "the hub is switched off" in failure.detail
    assert str(tmp_path) not in failure.detail
