"""Checkpoints on disk: written aside, synced, renamed, and valid only with a manifest that fits every byte.

A checkpoint is a directory `step-00000012` with `tensors.safetensors`, `state.json` and, written last,
`manifest.json`. No pickle is read or written, so that a checkpoint from elsewhere cannot run code.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from contracts.base import Tolerant
from contracts.failure import FailureReason
from contracts.run_dir import write_atomically
from contracts.summary import EvalPoint
from worker.training.errors import TrainingError

FORMAT_VERSION = 1
_TENSORS, _STATE, _MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_SPACE_FACTOR = 1.2
"""Free space asked for before a checkpoint is written, as a multiple of its tensors."""


class CheckpointState(Tolerant):
    """All of a checkpoint that is not a tensor."""

    format_version: int = FORMAT_VERSION
    step: int
    identity: dict[str, str]
    """What the run is: a checkpoint of another run is refused."""
    circumstances: dict[str, str | int]
    """What equal numbers to the last bit ask for; a run that has to change them says so."""
    token_budget: int
    tokens: int
    best_step: int | None = None
    """Step of the adapter that the tensors `best.…` hold."""
    training_seconds: float
    phase_seconds: dict[str, float]
    evaluations: list[EvalPoint]


class Manifest(Tolerant):
    """Names, sizes and hashes of a checkpoint's files."""

    format_version: int = FORMAT_VERSION
    step: int
    eval_loss: float | None = None
    """Taken at this very step; the lowest one is the best checkpoint."""
    files: dict[str, str]
    """SHA-256 in hexadecimal by file name."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run is resumed from."""

    state: CheckpointState
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Saved:
    """A checkpoint that lies whole on disk."""

    path: Path
    bytes: int


class Checkpoints:
    """The checkpoints of one run, of which the newest few and the best are kept."""

    def __init__(
        self,
        directory: Path,
        keep: int,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._directory = directory
        self._keep = keep
        self._free_bytes = free_bytes

    def save(self, snapshot: Snapshot) -> Saved:
        """Write the snapshot, then remove what is no longer kept. Raises TrainingError if the disk is too full."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._check_space(snapshot)
        final = self._directory / f"step-{snapshot.state.step:08d}"
        aside = final.with_name(final.name + ".tmp")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        save_file(snapshot.tensors, aside / _TENSORS)
        sync(aside / _TENSORS)
        write_atomically(aside / _STATE, snapshot.state.model_dump_json())
        manifest = Manifest(
            step=snapshot.state.step,
            eval_loss=_eval_loss_at(snapshot.state.evaluations, snapshot.state.step),
            files={name: _sha256(aside / name) for name in (_TENSORS, _STATE)},
        )
        write_atomically(aside / _MANIFEST, manifest.model_dump_json())
        sync(aside)
        shutil.rmtree(final, ignore_errors=True)
        aside.replace(final)
        sync(self._directory)
        self._prune()
        return Saved(final, sum(path.stat().st_size for path in final.iterdir()))

    def _prune(self) -> None:
        found = _manifests(self._directory)  # newest first
        kept = {path for path, _ in found[: self._keep]}
        scored = [(m.eval_loss, path) for path, m in found if m.eval_loss is not None]
        if scored:
            kept.add(min(scored)[1])
        for path, _ in found:
            if path not in kept:
                shutil.rmtree(path)

    def _check_space(self, snapshot: Snapshot) -> None:
        needed = int(_SPACE_FACTOR * sum(tensor.nbytes for tensor in snapshot.tensors.values()))
        free = self._free_bytes(self._directory)
        if free < needed:
            raise TrainingError(
                FailureReason.DISK_FULL,
                f"a checkpoint needs {needed:,} bytes, and {free:,} are free; the checkpoints before it are kept",
                step=snapshot.state.step,
                evidence={"needed_bytes": needed, "free_bytes": free},
            )


def find_newest(place: Path) -> Path | None:
    """Return the newest whole checkpoint at `place`: a checkpoint itself, or a directory of several."""
    if is_whole(place):
        return place
    return next((path for path, _ in _manifests(place) if is_whole(path)), None)


def is_whole(path: Path) -> bool:
    """Return whether every file of the checkpoint is as its manifest says."""
    manifest = _read_manifest(path)
    if manifest is None or manifest.format_version != FORMAT_VERSION:
        return False
    return set(manifest.files) >= {_TENSORS, _STATE} and all(
        (path / name).is_file() and _sha256(path / name) == digest
        for name, digest in manifest.files.items()
        if name in {_TENSORS, _STATE}
    )


def load(path: Path) -> Snapshot:
    """Read a whole checkpoint. Its tensors come to the CPU."""
    try:
        state = CheckpointState.model_validate_json((path / _STATE).read_bytes())
        return Snapshot(state, load_file(path / _TENSORS))
    except (ValidationError, SafetensorError) as error:
        raise TrainingError(
            FailureReason.CRASHED, f"checkpoint {path.name} is whole but cannot be read: {error}"
        ) from error


def sync(path: Path) -> None:
    """Have a file or directory reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifests(directory: Path) -> list[tuple[Path, Manifest]]:
    """Return the checkpoints in a directory that have a manifest, newest first."""
    paths = [path for path in directory.glob("step-*") if path.suffix != ".tmp"]
    found = [(path, manifest) for path in paths if (manifest := _read_manifest(path))]
    return sorted(found, key=lambda pair: (-pair[1].step, pair[0].name))


def _read_manifest(path: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json((path / _MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def _eval_loss_at(evaluations: list[EvalPoint], step: int) -> float | None:
    return next((point.loss for point in evaluations if point.step == step), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
