"""The key of a cache entry: a hash of everything that determines the tokens and masks of a run."""

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import contracts
import worker.training.data
from contracts.data_spec import is_from_hub
from contracts.job import JobSpec
from contracts.run.run_dir import RunDir
from worker.training.data.bounds import Bounds
from worker.training.data.rendering.template import Template

_LIBRARIES = ("jinja2", "tokenizers", "transformers")
_WEIGHTS = {".bin", ".gguf", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors"}
"""Files of a model that hold weights. Any other file may be read by the tokenizer."""
_BLOCK_BYTES = 2**20


FileState = tuple[tuple[str, int, int, int], ...]
"""Name, size, modification time and inode of each file of a model that the tokenizer may read."""


class NotCacheable(Exception):
    """The tokens must not be cached; the message gives the reason."""


def read_state(directory: Path) -> FileState:
    """Return the state of the files of a model that the tokenizer may read. Raises OSError."""
    found = []
    for name, path in _tokenizer_files(directory):
        state = path.stat()
        found.append((name, state.st_size, state.st_mtime_ns, state.st_ino))
    return tuple(found)


def find_key(
    run_dir: RunDir, spec: JobSpec, tokenizer: Any, template: Template, bounds: Bounds
) -> str:
    """Return the key, 64 hexadecimal characters. Raises NotCacheable if the template's output depends on the time.

    The key covers this code and its libraries, the rows with their weights and their split, the settings, the tokenizer's files and the
    template with the date that it inserts. Reads all of these files; raises OSError.
    """
    text = template.effective_text
    if "strftime_now" in (text if text is not None else str(tokenizer.chat_template)):
        raise NotCacheable("the chat template depends on the time")
    dataset, seed = spec.dataset, spec.training.seed
    rows, weights = [run_dir.train_data], ""
    if dataset.is_mixed:
        rows = [run_dir.mixed_data(number) for number in range(len(dataset.parts))]
        weights = f"{[part.weight for part in dataset.parts]} of seed {seed}"
    if run_dir.eval_data.exists():
        rows.append(run_dir.eval_data)
        split = ""
    else:
        split = f"{dataset.eval_size} of seed {seed}"
    sources = [*(part.dataset for part in dataset.parts), dataset.eval]
    parts = [
        _code(),
        str([is_from_hub(source) for source in sources]),
        *(_hash_file(path, bounds) for path in rows),
        weights,
        split,
        str(dataset.preference),
        str(spec.training.max_length),
        _hash_directory(run_dir.model, bounds),
        str(text),
    ]
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


@cache
def _code() -> str:
    """Return a hash of the modules that turn rows into tokens, and of the versions of the libraries that they call."""
    digest = hashlib.sha256()
    for package in (contracts, worker.training.data):
        for directory in package.__path__:
            for path in sorted(Path(directory).rglob("*.py")):
                digest.update(path.read_bytes())
    return " ".join([digest.hexdigest(), *(f"{name} {version(name)}" for name in _LIBRARIES)])


def _hash_file(path: Path, bounds: Bounds) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            bounds.poll()
    return digest.hexdigest()


def _hash_directory(directory: Path, bounds: Bounds) -> str:
    """Return a hash of the names and contents of a model's files that the tokenizer may read."""
    return "\n".join(
        f"{name} {_hash_file(path, bounds)}" for name, path in _tokenizer_files(directory)
    )


def _tokenizer_files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield a model's files except weights and hidden ones, such as those of git, each with its path in the model."""
    # Resolve first: the directory is usually a link, which rglob does not follow.
    root = directory.resolve()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix not in _WEIGHTS and not is_hidden and path.is_file():
            yield str(relative), path
