"""The models root: the directory of models that the worker's operator keeps on this host."""

import stat
from pathlib import Path

from contracts.model_facts import MOST_MODELS, ModelFacts, is_model_name
from worker.supervisor.host.models.model_files import read_facts
from worker.supervisor.host.models.template_trial import TemplateTrials

State = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file in a model's directory."""


def list_models(models_dir: Path | None) -> list[str]:
    """Return the names of the models in the root, as `name` or `owner/name`."""
    if models_dir is None or not models_dir.is_dir():
        return []
    found = [*models_dir.glob("*/config.json"), *models_dir.glob("*/*/config.json")]
    return sorted(path.parent.relative_to(models_dir).as_posix() for path in found)


class ModelCatalog:
    """The facts about the models in the root. Reads a model's files again only if they have changed."""

    def __init__(self, models_dir: Path | None, trials: TemplateTrials | None = None) -> None:
        self._models_dir = models_dir
        self._trials = trials or TemplateTrials()
        self._known: dict[str, tuple[State, ModelFacts]] = {}

    def read(self) -> list[ModelFacts]:
        """Return the facts about every model in the root that a job can name. Raises OSError if the root cannot be read.

        The output of a new chat template is unknown until a later call.
        """
        current: dict[str, tuple[State, ModelFacts]] = {}
        for name in list_models(self._models_dir)[:MOST_MODELS]:
            if self._models_dir is not None and is_model_name(name):
                current[name] = self._read(self._models_dir / name, name)
        self._known = current
        return [facts for _, facts in current.values()]

    def _read(self, directory: Path, name: str) -> tuple[State, ModelFacts]:
        known = self._known.get(name)
        try:
            state = _state_of(directory)
            if known is not None and known[0] == state:
                return known
            facts, is_final = self._trials.find(directory, read_facts(directory, name))
        except OSError:
            return (), ModelFacts(name=name)  # this user cannot read the directory
        return state if is_final else (), facts


def _state_of(directory: Path) -> State:
    state = []
    for path in directory.iterdir():
        try:
            found = path.stat()
        except OSError:
            continue  # a broken link, or a file that has just been removed
        if stat.S_ISREG(found.st_mode):
            state.append((path.name, found.st_size, found.st_mtime_ns))
    return tuple(sorted(state))
