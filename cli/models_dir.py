"""The root of model directories that `stepline up` passes to its worker, and the option or variable that chose it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "STEPLINE_MODELS_DIR"


class NoModelsDir(Exception):
    """The chosen path is not a directory; the message names the option or variable that chose it."""


@dataclass(frozen=True)
class ModelsDir:
    """A root of model directories."""

    path: Path
    chosen_by: str | None
    """The option or variable that named it; None for the data directory's default."""

    def __str__(self) -> str:
        return f"{self.path} ({self.chosen_by})" if self.chosen_by == VARIABLE else str(self.path)


def find_models_dir(option: Path | None, environ: Mapping[str, str], default: Path) -> ModelsDir:
    """Return the root from the option, the environment, or the default, in this order. Raises NoModelsDir.

    An empty variable counts as unset. The default need not exist yet.
    """
    if option is not None:
        return ModelsDir(_check(option, "--models-dir"), "--models-dir")
    if environ.get(VARIABLE):
        return ModelsDir(_check(Path(environ[VARIABLE]), VARIABLE), VARIABLE)
    return ModelsDir(default, None)


def _check(path: Path, chosen_by: str) -> Path:
    try:
        found = path.expanduser().resolve()
        exists = found.is_dir()
    except (OSError, RuntimeError) as error:  # no permission, circular links, or an unknown ~user
        raise NoModelsDir(f"{chosen_by}: cannot use {path} ({error})") from error
    if not exists:
        raise NoModelsDir(
            f"{chosen_by}: there is no directory {found}; create it, or name the directory that holds your models"
        )
    return found
