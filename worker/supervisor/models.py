"""Where a model lies: a directory under the models root, which wins, or a snapshot brought from the hub."""

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


def find_local(models_dir: Path | None, name: str) -> Path | None:
    """Return the model's directory under the root, or None. Raises PlacingFailed if it leads out of the root."""
    if models_dir is None or not (models_dir / name / "config.json").exists():
        return None
    root = models_dir.resolve()
    directory = (root / name).resolve()
    for path in (directory, *sorted(directory.rglob("*"))):
        if not path.resolve().is_relative_to(root):
            raise PlacingFailed(
                Failure(
                    reason=FailureReason.MODEL_REFUSED,
                    detail=f"{name}: {path.name} is a link that leads out of the worker's models root.",
                )
            )
    return directory


def list_models(models_dir: Path | None) -> list[str]:
    """Return the names of the models under the root, `name` and `owner/name` alike."""
    if models_dir is None or not models_dir.is_dir():
        return []
    found = [*models_dir.glob("*/config.json"), *models_dir.glob("*/*/config.json")]
    return sorted(path.parent.relative_to(models_dir).as_posix() for path in found)


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
