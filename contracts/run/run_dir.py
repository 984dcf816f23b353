"""RunDir: the run directory of an attempt. Its file names are defined only here.

The supervisor writes `spec.json`, `placed.json`, `model`, `data/` and, to resume, `resume/`. The training program
writes the rest, `outcome.json` last. A run directory can also be created by hand and run with `python -m
worker.training DIR`.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from contracts.attempt import Wanted
from contracts.base import Tolerant, UtcDatetime
from contracts.checkpoint import Origin

RUNAWAY_SIGNAL = signal.SIGPROF
"""Signal that kills a training program whose chat template is still rendering and cannot be interrupted. No outcome is written."""


@dataclass(frozen=True)
class RunDir:
    """Paths in a run directory."""

    path: Path

    @property
    def spec(self) -> Path:
        """The JobSpec."""
        return self.path / "spec.json"

    @property
    def placed(self) -> Path:
        """Describes the placed inputs and their origin (Placed). Optional for a manual run."""
        return self.path / "placed.json"

    @property
    def model(self) -> Path:
        """The model directory, usually a symlink. Read-only."""
        return self.path / "model"

    @property
    def train_data(self) -> Path:
        """Training rows as JSONL; absent if the job has several training datasets."""
        return self.path / "data" / "train.jsonl"

    def mixed_data(self, number: int) -> Path:
        """Training rows of a job with several datasets. `number`: the dataset's index in the spec."""
        return self.path / "data" / f"train-{number}.jsonl"

    @property
    def eval_data(self) -> Path:
        """Evaluation rows as JSONL; absent if rows are held out from the training data."""
        return self.path / "data" / "eval.jsonl"

    @property
    def resume(self) -> Path:
        """The checkpoint to resume from; absent for a fresh start."""
        return self.path / "resume"

    @property
    def control(self) -> Path:
        """The action requested of the running program (Control); absent means continue."""
        return self.path / "control.json"

    @property
    def records(self) -> Path:
        """Records, one checksummed line each, in order of seq."""
        return self.path / "records.jsonl"

    @property
    def progress(self) -> Path:
        """Rows processed in the current phase (RowProgress), updated frequently; absent while no rows are counted."""
        return self.path / "progress.json"

    @property
    def heartbeat(self) -> Path:
        """Empty file that a thread of the program touches every few seconds, from its start to its end."""
        return self.path / "heartbeat"

    @property
    def output(self) -> Path:
        """The program's output."""
        return self.path / "output.log"

    @property
    def checkpoints(self) -> Path:
        """One directory per checkpoint."""
        return self.path / "checkpoints"

    @property
    def outbox(self) -> Path:
        """Hard links to checkpoints that are being uploaded, so that the program can prune its own in the meantime."""
        return self.path / "outbox"

    @property
    def adapter(self) -> Path:
        """The trained adapter, as peft saves it, with its tokenizer."""
        return self.path / "adapter"

    @property
    def adapter_archive(self) -> Path:
        """The adapter packed into a single file for download."""
        return self.path / "adapter.zip"

    @property
    def summary(self) -> Path:
        """The Summary; present only after success."""
        return self.path / "summary.json"

    @property
    def reserve(self) -> Path:
        """Disk space reserved for the outcome, in case the disk fills up."""
        return self.path / "reserve"

    @property
    def outcome(self) -> Path:
        """The Outcome, written last. If it is missing, the program was killed."""
        return self.path / "outcome.json"


class Placed(Tolerant):
    """The inputs that the supervisor placed."""

    attempt_id: str = ""
    job_id: str = ""
    attempt_number: int = Field(1, ge=1)
    submitted_at: UtcDatetime | None = None
    """When the job was submitted. Chat templates that insert the current date use this one in every attempt. Null:
    today."""
    model_revision: str | None = None
    """Hub commit of `model`."""
    model_roots: list[Path] | None = None
    """Resolved directories. Every symlink in the model must resolve to a file in one of them. Null (manual run): not
    checked."""
    train_revision: str | None = None
    """Hub commit of the training rows."""
    mixed_revisions: list[str | None] = []
    """The same for each of several training datasets; null for an uploaded one."""
    eval_revision: str | None = None
    resumed_from: int | None = None
    """Number of the attempt whose checkpoint is in `resume/`."""
    spool_bytes: int | None = None
    """Maximum size of records.jsonl; near the limit, metrics are thinned out. Null: no limit."""
    ranks: int = Field(1, ge=1)
    """Number of processes that train together. On GPUs, rank r uses the r-th entry of CUDA_VISIBLE_DEVICES."""
    token_cache: Path | None = None
    """Directory of the worker's token cache, shared by its runs. Null: tokens are kept in memory."""
    token_cache_bytes: int = Field(0, ge=0)
    """Maximum size of the token cache."""
    hang_seconds: float = 1800.0
    """Maximum time between two micro-batches, after which the program counts as hung."""

    @property
    def origin(self) -> Origin:
        """The commits that this attempt uses; attempts that resume from its checkpoints use the same ones."""
        return Origin(
            model_revision=self.model_revision,
            train_revision=self.train_revision,
            mixed_revisions=self.mixed_revisions,
            eval_revision=self.eval_revision,
        )


def load_placed(run_dir: RunDir) -> Placed:
    """Return what the supervisor placed in a run directory. Raises OSError or ValidationError."""
    return Placed.model_validate_json(run_dir.placed.read_bytes())


def count_ranks(run_dir: RunDir) -> int:
    """Return the number of ranks that placed.json requests; 1 if it cannot be read, which the program reports."""
    try:
        return load_placed(run_dir).ranks
    except (OSError, ValidationError):
        return 1


class Control(Tolerant):
    """The action requested of the running program."""

    wanted: Wanted = Wanted.CONTINUE


def write_atomically(path: Path, content: str | bytes, *, sync: bool = True) -> None:
    """Write a temporary file, fsync it and rename it. Readers see either the old or the new file, never a partial one.

    Without `sync`, the file may be empty after a power loss.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    temporary.replace(path)


def write_model(path: Path, model: Any) -> None:
    """Write a contract model as JSON, atomically."""
    write_atomically(path, model.model_dump_json(indent=2) + "\n")
