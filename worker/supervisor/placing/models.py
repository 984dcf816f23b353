"""Locates a model: a directory under the models root, which takes precedence, or a snapshot from the hub."""

import os
from dataclasses import dataclass
from pathlib import Path

from contracts.failure import Failure, FailureReason


class PlacingFailed(Exception):
    """A model or dataset cannot be placed; `failure` contains the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.detail}")
        self.failure = failure


@dataclass(frozen=True)
class PlacedModel:
    """A model that is ready on disk."""

    path: Path
    revision: str | None
    """The hub's commit; None for a directory under the models root."""
    roots: list[Path]
    """Directories, as paths without links. Each link in the model's directory must resolve to a file in one of them."""


def find_local(models_dir: Path | None, name: str) -> PlacedModel | None:
    """Return the model under the root, or None. Raises PlacingFailed if a link in the model points outside the allowed roots.

    Only the worker's operator writes to the models root itself, so a link directly in it may point anywhere, such as
    to a larger disk. Links inside a model's directory came with the model, so they must stay under the models root, or
    inside the directory to which the operator's link points.
    """
    if models_dir is None or not (models_dir / name / "config.json").exists():
        return None
    root = models_dir.resolve()
    roots = [root, _home_of((root / Path(name).parts[0]).resolve())]
    directory = (root / name).resolve()
    _check_within(name, directory, roots)
    return PlacedModel(directory, None, roots)


def placed_snapshot(name: str, directory: Path, commit: str | None) -> PlacedModel:
    """Return a snapshot in the hub's cache. Raises PlacingFailed if a link points outside that model's cache."""
    roots = [_home_of(directory.resolve())]
    _check_within(name, directory, roots)
    return PlacedModel(directory, commit, roots)


def _home_of(directory: Path) -> Path:
    """Return the directory that contains a model's link targets; for a snapshot, whose links lead to blobs, the model's cache."""
    if directory.parent.name == "snapshots" and directory.parent.parent.name.startswith("models--"):
        return directory.parent.parent
    return directory


def _check_within(name: str, directory: Path, roots: list[Path]) -> None:
    for path in (directory, *sorted(directory.rglob("*"))):
        # realpath, because Path.resolve raises on a link that points to itself.
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in roots):
            place = "the model's directory" if path == directory else path.relative_to(directory)
            raise PlacingFailed(
                Failure(
                    reason=FailureReason.MODEL_REFUSED,
                    detail=f"{name}: {place} is a link that points outside the worker's models root. Copy the file "
                    "into the model's directory; only a link directly in the models root may point elsewhere.",
                )
            )


def not_found(name: str, models_dir: Path | None, hub: str) -> PlacingFailed:
    """Return the failure for a model that was not found, naming the places searched. `hub` says why the hub cannot provide it."""
    local = (
        f"no directory {name!r} with a config.json under the worker's models root"
        if models_dir is not None
        else "this worker has no models root (STEPLINE_MODELS_DIR)"
    )
    return PlacingFailed(
        Failure(reason=FailureReason.MODEL_NOT_FOUND, detail=f"{name}: {local}; {hub}.")
    )
