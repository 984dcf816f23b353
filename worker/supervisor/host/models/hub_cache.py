"""The hub's cache on this host: which models in it are complete. Does not import the hub's libraries, which take a second."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from contracts.model_facts import is_model_name
from worker.settings import Settings
from worker.supervisor.host.models.models_root import list_models

_PREFIX = "models--"
_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.safetensors")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_MOST_INDEX_BYTES = 10_000_000


def list_installed(settings: Settings, environ: Mapping[str, str]) -> dict[str, Path]:
    """Return the directory of each model on this worker, by name: those in the models root, and snapshots of the hub."""
    root = settings.models_dir
    found = {
        name: root / name for name in list_models(root) if root is not None and is_model_name(name)
    }
    if settings.hub:
        found = list_snapshots(cache_dir(environ)) | found
    return found


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the hub's cache, which the hub's libraries find in the same way."""
    named = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or str(Path(cache) / "huggingface")
    return Path(home).expanduser() / "hub"


def model_dir(cache: Path, name: str) -> Path:
    """Return the directory of a model in the cache, which may not exist."""
    return cache / (_PREFIX + name.replace("/", "--"))


def list_snapshots(cache: Path) -> dict[str, Path]:
    """Return the newest complete snapshot of each model, by name."""
    found = {}
    for directory in sorted(cache.glob(f"{_PREFIX}*")):
        name = directory.name.removeprefix(_PREFIX).replace("--", "/")
        snapshot = _find_snapshot(directory) if is_model_name(name) else None
        if snapshot is not None:
            found[name] = snapshot
    return found


def find_snapshot(cache: Path, name: str, revision: str) -> Path | None:
    """Return the complete snapshot of a model at a commit, tag or branch, or None. Tags and branches resolve as of their last download."""
    directory = model_dir(cache, name)
    if ".." in Path(revision).parts:
        return None
    try:
        commit = (directory / "refs" / revision).read_text(errors="replace").strip()
    except OSError:
        commit = revision
    snapshot = directory / "snapshots" / commit
    is_found = "/" not in commit and commit not in ("", ".", "..") and _is_complete(snapshot)
    return snapshot if is_found else None


def _find_snapshot(directory: Path) -> Path | None:
    """Return the snapshot of the main branch if it is complete, otherwise the most recently downloaded one."""
    try:
        snapshots = [path for path in (directory / "snapshots").iterdir() if path.is_dir()]
        main = directory / "refs" / "main"
        newest = main.read_text(errors="replace").strip() if main.is_file() else ""
        snapshots.sort(key=lambda path: (path.name == newest, path.stat().st_mtime), reverse=True)
    except OSError:
        return None
    return next((path for path in snapshots if _is_complete(path)), None)


def _is_complete(snapshot: Path) -> bool:
    """Return whether a snapshot has a configuration, a tokenizer and all weights. A file appears in it only once it is complete."""
    try:
        files = {path.name for path in snapshot.iterdir() if path.is_file()}
        if "config.json" not in files or not files.intersection(_TOKENIZERS):
            return False
        if "model.safetensors" in files:
            return True
        weights = {name for name in files if name.endswith(".safetensors")}
        index = snapshot / "model.safetensors.index.json"
        if index.name not in files:
            return bool(weights) and not any(map(_SHARD.fullmatch, weights))
        if index.stat().st_size > _MOST_INDEX_BYTES:
            return False
        named = json.loads(index.read_bytes())["weight_map"].values()
        return weights.issuperset(named)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
