"""Builders for the tests in this directory."""

import json
from pathlib import Path
from typing import Any

from contracts.attempt import Claim, Device
from contracts.checkpoint import (
    MANIFEST_FILE,
    STATE_FILE,
    TENSORS_FILE,
    CheckpointFile,
    describe_files,
    hash_file,
)
from contracts.run.run_dir import Placed, RunDir, write_model
from tests.factories import make_spec
from worker.supervisor.host.cards.held_cards import HeldCard


def make_claim(**changes: Any) -> Claim:
    """Return the claim of a job with an uploaded dataset and a short flush interval."""
    figures: dict[str, Any] = {
        "attempt_id": "att_1",
        "job_id": "job_1",
        "number": 1,
        "token": "secret-of-the-attempt",
        "spec": make_spec(),
        "train": {"dataset_id": "ds_00000000", "sha256": "0" * 64, "bytes": 3, "rows": 1},
        "sync_seconds": 10.0,
        "flush_seconds": 0.01,
        "lease_seconds": 45.0,
    }
    return Claim.model_validate(figures | changes)


def hold(lock_fd: int, device: Device | None = None, home: Path = Path("unused")) -> HeldCard:
    """Return a card, by default the CPU, whose lock the test holds."""
    return HeldCard(device or Device(), lock_fd, home)


def make_checkpoint(directory: Path, step: int, eval_loss: float | None = None) -> Path:
    """Write a complete checkpoint. Its content is arbitrary, because the supervisor does not interpret it."""
    path = directory / f"step-{step:08d}"
    path.mkdir(parents=True)
    (path / TENSORS_FILE).write_bytes(f"tensors of {step}".encode() * 1000)
    (path / STATE_FILE).write_text(json.dumps({"step": step}))
    files = {name: hash_file(path / name) for name in (TENSORS_FILE, STATE_FILE)}
    manifest = {"format_version": 1, "step": step, "eval_loss": eval_loss, "files": files}
    (path / MANIFEST_FILE).write_text(json.dumps(manifest))
    return path


def files_of(path: Path) -> list[CheckpointFile]:
    """Return the name, hash and size of each file of a checkpoint."""
    return list(describe_files(path))


def place(run_dir: RunDir, **placed: Any) -> RunDir:
    """Create a run directory for the job of make_claim."""
    run_dir.path.mkdir(parents=True, exist_ok=True)
    write_model(run_dir.placed, Placed.model_validate({"job_id": "job_1", **placed}))
    return run_dir
