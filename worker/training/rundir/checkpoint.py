"""Checkpoints on disk: written to a temporary directory, synced and renamed; valid only if the manifest matches.

contracts/checkpoint.py defines their file names. Pickle is never used, so an untrusted checkpoint cannot run code.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from contracts.base import Tolerant
from contracts.checkpoint import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    STATE_FILE,
    TENSORS_FILE,
    Manifest,
    hash_file,
    is_whole,
    list_checkpoints,
)
from contracts.failure import FailureReason
from contracts.run.run_dir import write_atomically
from contracts.summary import EvalPoint
from worker.training.errors import TrainingError
from worker.training.rundir.disk import sync

_SPACE_FACTOR = 1.2
"""Free space required before writing a checkpoint, as a multiple of the size of its tensors."""


class CheckpointState(Tolerant):
    """All parts of a checkpoint that are not tensors."""

    format_version: int = FORMAT_VERSION
    step: int
    identity: dict[str, str]
    """Identifies the run; a checkpoint of a different run is rejected."""
    circumstances: dict[str, str | int]
    """Conditions that must be unchanged for bit-identical results. If they have changed, the resumed run logs a warning."""
    token_budget: int
    activation_checkpointing: bool = False
    tokens: int
    best_step: int | None = None
    """Step of the adapter in the tensors `best.…`."""
    training_seconds: float
    phase_seconds: dict[str, float]
    evaluations: list[EvalPoint]
    base_correct_tokens: int | None = None
    """Number of evaluation tokens that the model predicted correctly before training; None in checkpoints of earlier versions."""
    adapter_config: dict[str, Any] | None = None
    """peft's configuration of the adapter, which the server adds when users download the adapter; None in checkpoints of
    earlier versions."""


@dataclass(frozen=True)
class Snapshot:
    """The complete state from which a run resumes."""

    state: CheckpointState
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is complete on disk."""

    path: Path
    bytes: int


class Checkpoints:
    """The checkpoints of one run; keeps the newest few and the best."""

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
        """Write the snapshot, then prune old checkpoints. Raises TrainingError if the disk is too full."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._check_space(snapshot)
        final = self._directory / f"step-{snapshot.state.step:08d}"
        temporary = final.with_name(final.name + ".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_file(snapshot.tensors, temporary / TENSORS_FILE)
        sync(temporary / TENSORS_FILE)
        write_atomically(temporary / STATE_FILE, snapshot.state.model_dump_json())
        manifest = Manifest(
            step=snapshot.state.step,
            eval_loss=_eval_loss_at(snapshot.state.evaluations, snapshot.state.step),
            files={name: hash_file(temporary / name) for name in (TENSORS_FILE, STATE_FILE)},
        )
        write_atomically(temporary / MANIFEST_FILE, manifest.model_dump_json())
        sync(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
        sync(self._directory)
        self._prune()
        return Saved(final, sum(path.stat().st_size for path in final.iterdir()))

    def _prune(self) -> None:
        found = list_checkpoints(self._directory)  # newest first
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
                f"a checkpoint needs {needed:,} bytes, but only {free:,} are free. Earlier checkpoints are kept",
                step=snapshot.state.step,
                evidence={"needed_bytes": needed, "free_bytes": free},
            )


def find_newest(place: Path) -> Path | None:
    """Return the newest intact checkpoint at `place`, which is a checkpoint or a directory of several."""
    if is_whole(place):
        return place
    return next((path for path, _ in list_checkpoints(place) if is_whole(path)), None)


def load(path: Path) -> Snapshot:
    """Read an intact checkpoint. Its tensors are on the CPU."""
    try:
        state = CheckpointState.model_validate_json((path / STATE_FILE).read_bytes())
        return Snapshot(state, load_file(path / TENSORS_FILE))
    except (ValidationError, SafetensorError) as error:
        raise TrainingError(
            FailureReason.CRASHED, f"checkpoint {path.name} is intact but cannot be read: {error}"
        ) from error


def _eval_loss_at(evaluations: list[EvalPoint], step: int) -> float | None:
    return next((point.loss for point in evaluations if point.step == step), None)
