"""The models root: the directory of models that the worker's operator keeps on this host."""

from pathlib import Path


def list_models(models_dir: Path | None) -> list[str]:
    """Return the names of the models in the root, as `name` or `owner/name`."""
    if models_dir is None or not models_dir.is_dir():
        return []
    found = [*models_dir.glob("*/config.json"), *models_dir.glob("*/*/config.json")]
    return sorted(path.parent.relative_to(models_dir).as_posix() for path in found)
