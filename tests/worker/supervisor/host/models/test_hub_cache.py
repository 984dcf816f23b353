"""Which models in the hub's cache count as installed."""

import json
from pathlib import Path

import pytest

from worker.settings import Settings
from worker.supervisor.host.models.hub_cache import (
    cache_dir,
    find_snapshot,
    list_installed,
    list_snapshots,
)
from worker.supervisor.host.models.models_root import ModelCatalog

WHOLE = {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": ""}
INDEX = json.dumps(
    {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "two.safetensors"}}
)


def snapshot(cache: Path, name: str, commit: str, files: dict[str, str], main: bool = True) -> Path:
    """Write a snapshot of links to blobs, as the hub's libraries do."""
    home = cache / f"models--{name.replace('/', '--')}"
    directory = home / "snapshots" / commit
    directory.mkdir(parents=True)
    (home / "blobs").mkdir(exist_ok=True)
    (home / "refs").mkdir(exist_ok=True)
    for file, content in files.items():
        blob = home / "blobs" / f"{commit}-{file}"
        blob.write_text(content)
        (directory / file).symlink_to(blob)
    if main:
        (home / "refs" / "main").write_text(commit)
    return directory


def test_complete_snapshots_are_installed_and_the_models_root_takes_precedence(
    tmp_path: Path,
) -> None:
    root, home = tmp_path / "models", tmp_path / "hub"
    cache = home / "hub"
    own = root / "owner" / "both"
    own.mkdir(parents=True)
    (own / "config.json").write_text("{}")
    snapshot(cache, "owner/both", "1" * 40, WHOLE)
    whole = snapshot(cache, "owner/whole", "2" * 40, WHOLE)
    environ = {"HF_HOME": str(home)}

    installed = list_installed(Settings(models_dir=root), environ)
    offline = list_installed(Settings(models_dir=root, hub=False), environ)

    assert installed == {"owner/both": own, "owner/whole": whole}
    assert offline == {"owner/both": own}
    catalog = ModelCatalog(root, list_snapshots=lambda: list_snapshots(cache))
    assert [(facts.name, facts.revision, facts.is_main) for facts in catalog.read()] == [
        ("owner/both", None, None),
        ("owner/whole", "2" * 40, True),
    ]
    (cache / "models--owner--whole" / "refs" / "main").unlink()
    assert catalog.read()[1].is_main is False


SHARDED = {
    "config.json": "{}",
    "tokenizer.json": "{}",
    "model.safetensors.index.json": INDEX,
    "model-00001-of-00002.safetensors": "",
    "two.safetensors": "",
}


@pytest.mark.parametrize(
    "missing",
    ["config.json", "tokenizer.json", "two.safetensors", "model.safetensors.index.json"],
)
def test_a_snapshot_that_is_still_being_downloaded_is_not_installed(
    tmp_path: Path, missing: str
) -> None:
    part = {name: content for name, content in SHARDED.items() if name != missing}
    snapshot(tmp_path, "owner/part", "3" * 40, part)
    snapshot(tmp_path, "owner/whole", "4" * 40, SHARDED)

    assert set(list_snapshots(tmp_path)) == {"owner/whole"}


def test_the_snapshot_of_the_main_branch_is_used_unless_it_is_incomplete(tmp_path: Path) -> None:
    old = snapshot(tmp_path, "a", "5" * 40, WHOLE, main=True)
    snapshot(tmp_path, "a", "6" * 40, WHOLE, main=False)
    broken = snapshot(tmp_path, "b", "7" * 40, WHOLE, main=True)
    other = snapshot(tmp_path, "b", "8" * 40, WHOLE, main=False)
    (broken / "config.json").resolve().unlink()

    assert list_snapshots(tmp_path) == {"a": old, "b": other}


def test_the_cache_directory_is_the_one_that_the_hubs_libraries_use() -> None:
    assert cache_dir({"HF_HUB_CACHE": "/c", "HF_HOME": "/h"}) == Path("/c")
    assert cache_dir({"HF_HOME": "/h"}) == Path("/h/hub")
    assert cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/huggingface/hub")
    assert cache_dir({}) == Path("~/.cache/huggingface/hub").expanduser()


def test_a_snapshot_is_found_by_commit_tag_or_branch_and_only_if_it_is_complete(
    tmp_path: Path,
) -> None:
    old = snapshot(tmp_path, "owner/model", "1" * 40, WHOLE, main=False)
    new = snapshot(tmp_path, "owner/model", "2" * 40, WHOLE)
    snapshot(tmp_path, "owner/model", "3" * 40, {"config.json": "{}"}, main=False)
    refs = tmp_path / "models--owner--model" / "refs"
    (refs / "pr").mkdir()
    (refs / "pr" / "7").write_text("1" * 40)
    (refs / "outside").write_text("../snapshots/" + "1" * 40)

    found = {
        name: find_snapshot(tmp_path, "owner/model", name)
        for name in ("1" * 40, "main", "pr/7", "3" * 40, "absent", "outside", "a/../../refs/main")
    }

    assert {name: path for name, path in found.items() if path} == {
        "1" * 40: old,
        "main": new,
        "pr/7": old,
    }
