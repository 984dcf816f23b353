"""Where a model lies: a directory under the models root, which wins, or a snapshot brought from the hub."""

import os
from dataclasses import dataclass
from pathlib import Path

from contracts.failure import Failure, FailureReason


class PlacingFailed(Exception):
    """A model or dataset cannot be put in place; the failure says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.detail}")
        self.failure = failure


@dataclass(frozen=True)
class PlacedModel:
    """A model that lies ready."""

    path: Path
    revision: str | None
    """Commit of the hub; None for a directory of our own."""
    roots: list[Path]
    """Real directories that hold every file that the model may lead to."""


def find_local(models_dir: Path | None, name: str) -> PlacedModel | None:
    """Return the model under the root, or None. Raises PlacingFailed if it leads to a file that is not the worker's to use.

    The worker's operator alone writes to the models root itself, so a link there may lead anywhere, such as to a larger
    disk. What is in a model's directory came with the model: its links must stay under the models root, or in the
    directory to which the operator's link leads.
    """
    if models_dir is None or not (models_dir / name / "config.json").exists():
        return None
    root = models_dir.resolve()
    roots = [root, _home_of((root / Path(name).parts[0]).resolve())]
    directory = (root / name).resolve()
    _check_within(name, directory, roots)
    return PlacedModel(directory, None, roots)


def placed_snapshot(name: str, directory: Path, commit: str | None) -> PlacedModel:
    """Return a snapshot in the hub's cache. Raises PlacingFailed if it leads to a file outside that model's cache."""
    roots = [_home_of(directory.resolve())]
    _check_within(name, directory, roots)
    return PlacedModel(directory, commit, roots)


def _home_of(directory: Path) -> Path:
    """Return the directory that holds what a model's directory leads to: a snapshot of the hub's cache links to blobs beside it."""
    if directory.parent.name == "snapshots" and directory.parent.parent.name.startswith("models--"):
        return directory.parent.parent
    return directory


def _check_within(name: str, directory: Path, roots: list[Path]) -> None:
    for path in (directory, *sorted(directory.rglob("*"))):
        # realpath, since Path.resolve raises on a link that leads to itself.
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in roots):
            place = "the model's directory" if path == directory else path.relative_to(directory)
            raise PlacingFailed(
                Failure(
                    reason=FailureReason.MODEL_REFUSED,
                    detail=f"{name}: {place} is a link that leads out of the worker's models root. Copy the file "
                    "into the model's directory; only a link directly in the models root may lead elsewhere.",
                )
            )


def not_found(name: str, models_dir: Path | None, hub: str) -> PlacingFailed:
    """Return the failure of a model that is nowhere, with what was looked for. `hub`: why the hub did not give it."""
    looked = (
        f"no directory {name!r} with a config.json under the worker's models root"
        if models_dir is not None
        else "this worker has no models root (STEPLINE_MODELS_DIR)"
    )
    return PlacingFailed(
        Failure(reason=FailureReason.MODEL_NOT_FOUND, detail=f"{name}: {looked}; {hub}.")
    )
