"""Finds the models root that `stepline up` passes to its worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "STEPLINE_MODELS_DIR"


class NoModelsDir(Exception):
    """The models root is not a directory. The message names the option or variable that specifies it."""


@dataclass(frozen=True)
class ModelsDir:
    """A models root: a directory that contains models."""

    path: Path
    set_by: str | None
    """The option or variable that specifies it; None for the default in the data directory."""

    def __str__(self) -> str:
        return f"{self.path} ({self.set_by})" if self.set_by == VARIABLE else str(self.path)


def find_models_dir(option: Path | None, environ: Mapping[str, str], default: Path) -> ModelsDir:
    """Return the models root from the option, the environment or the default, in that order. Raises NoModelsDir.

    An empty variable counts as unset. The default does not have to exist yet.
    """
    if option is not None:
        return ModelsDir(_check(option, "--models-dir"), "--models-dir")
    if environ.get(VARIABLE):
        return ModelsDir(_check(Path(environ[VARIABLE]), VARIABLE), VARIABLE)
    return ModelsDir(default, None)


def _check(path: Path, set_by: str) -> Path:
    try:
        found = path.expanduser().resolve()
        exists = found.is_dir()
    except (OSError, RuntimeError) as error:  # no permission, a symlink loop, or an unknown ~user
        raise NoModelsDir(f"{set_by}: cannot use {path} ({error})") from error
    if not exists:
        raise NoModelsDir(
            f"{set_by}: directory {found} does not exist. Create it, or specify the directory that contains your models"
        )
    return found
