"""The models root: the directory of models that the worker's operator keeps on this host."""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from contracts.model_facts import ModelFacts, is_model_name
from worker.supervisor.host.models.model_files import read_facts
from worker.supervisor.host.models.template_trial import TemplateTrials

MOST_NEW = 1000
"""Maximum number of models to read for the first time in one call, because the worker's hellos wait for it."""
State = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file in a model's directory."""


def list_models(models_dir: Path | None) -> list[str]:
    """Return the names of the models in the root, as `name` or `owner/name`."""
    if models_dir is None or not models_dir.is_dir():
        return []
    found = [*models_dir.glob("*/config.json"), *models_dir.glob("*/*/config.json")]
    return sorted(path.parent.relative_to(models_dir).as_posix() for path in found)


class ModelCatalog:
    """The facts about the models in the root and in the hub's cache. Reads a model's files again only if they have changed."""

    def __init__(
        self,
        models_dir: Path | None,
        trials: TemplateTrials | None = None,
        list_snapshots: Callable[[], Mapping[str, Path]] = dict,
    ) -> None:
        """`list_snapshots` returns the models in the hub's cache; those in the root take precedence."""
        self._models_dir = models_dir
        self._list_snapshots = list_snapshots
        self._trials = trials or TemplateTrials()
        self._known: dict[str, tuple[State, ModelFacts]] = {}
        self.has_unread = False
        """Whether later calls of `read` return more models, whose names come after those of the last call."""

    def read(self) -> list[ModelFacts]:
        """Return the facts about the models that a job can name. Raises OSError if the root cannot be read.

        A call reads at most MOST_NEW models for the first time; later calls return the others too. The output of a new
        chat template is also unknown until a later call.
        """
        current: dict[str, tuple[State, ModelFacts]] = {}
        places: dict[str, tuple[Path, str | None]] = {}
        for name in list_models(self._models_dir):
            if self._models_dir is not None and is_model_name(name):
                places[name] = (self._models_dir / name, None)
        for name, snapshot in self._list_snapshots().items():
            places.setdefault(name, (snapshot, snapshot.name))
        new = sorted(places.keys() - self._known.keys())
        chosen = self._known.keys() | set(new[:MOST_NEW])
        self.has_unread = len(new) > MOST_NEW
        for name, (directory, revision) in places.items():
            if name in chosen:
                current[name] = self._read(directory, name, revision)
        self._known = current
        return [facts for _, facts in current.values()]

    def _read(self, directory: Path, name: str, revision: str | None) -> tuple[State, ModelFacts]:
        known = self._known.get(name)
        about = {"revision": revision, "is_main": revision and _is_main(directory)}
        try:
            state = _state_of(directory)
            if known is not None and known[0] == state and about.items() <= dict(known[1]).items():
                return known
            read = read_facts(directory, name).model_copy(update=about)
            facts, is_final = self._trials.find(directory, read)
        except OSError:
            # This user cannot read the directory.
            return (), ModelFacts(name=name).model_copy(update=about)
        return state if is_final else (), facts


def _is_main(snapshot: Path) -> bool:
    """Return whether a snapshot is the commit of the main branch as of its last download."""
    main = snapshot.parent.parent / "refs" / "main"
    try:
        return main.read_text(errors="replace").strip() == snapshot.name
    except OSError:
        return False


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
