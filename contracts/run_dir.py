"""RunDir: the run directory of one attempt. The only place that knows its file names.

The supervisor lays down `spec.json`, `placed.json`, `model`, `data/` and, when there is one, `resume/`. The training
program writes the rest, `outcome.json` last. Anyone can lay one down by hand and run `python -m worker.training DIR`.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from contracts.attempt import Wanted
from contracts.base import Tolerant, UtcDatetime
from contracts.checkpoint import Origin

RUNAWAY_SIGNAL = signal.SIGPROF
"""Ends a training program whose model's chat template nothing else could interrupt: then there is no outcome."""


@dataclass(frozen=True)
class RunDir:
    """Paths under one run directory."""

    path: Path

    @property
    def spec(self) -> Path:
        """The JobSpec."""
        return self.path / "spec.json"

    @property
    def placed(self) -> Path:
        """What was placed, and where it came from (Placed). Optional for a run by hand."""
        return self.path / "placed.json"

    @property
    def model(self) -> Path:
        """The model's directory, usually a link. Never written to."""
        return self.path / "model"

    @property
    def train_data(self) -> Path:
        """Training rows, JSONL."""
        return self.path / "data" / "train.jsonl"

    @property
    def eval_data(self) -> Path:
        """Evaluation rows, JSONL; absent when rows of the training data are held out."""
        return self.path / "data" / "eval.jsonl"

    @property
    def resume(self) -> Path:
        """The checkpoint to start from; absent for a fresh start."""
        return self.path / "resume"

    @property
    def control(self) -> Path:
        """What is wanted of the running program (Control); absent means: continue."""
        return self.path / "control.json"

    @property
    def records(self) -> Path:
        """Records, one checksummed line each, in order of seq."""
        return self.path / "records.jsonl"

    @property
    def progress(self) -> Path:
        """Rows done of the present phase (RowProgress), replaced again and again; absent while none are counted."""
        return self.path / "progress.json"

    @property
    def output(self) -> Path:
        """What the program printed."""
        return self.path / "output.log"

    @property
    def checkpoints(self) -> Path:
        """One directory per checkpoint."""
        return self.path / "checkpoints"

    @property
    def outbox(self) -> Path:
        """Checkpoints on their way to the server: links, so that the program may prune its own meanwhile."""
        return self.path / "outbox"

    @property
    def adapter(self) -> Path:
        """The trained adapter, as peft saves it, with its tokenizer."""
        return self.path / "adapter"

    @property
    def adapter_archive(self) -> Path:
        """The adapter as one file to download."""
        return self.path / "adapter.zip"

    @property
    def summary(self) -> Path:
        """The Summary; there only after success."""
        return self.path / "summary.json"

    @property
    def reserve(self) -> Path:
        """Room on the disk that the outcome is sure of, should everything else have filled it."""
        return self.path / "reserve"

    @property
    def outcome(self) -> Path:
        """The Outcome: written last. A program that ended without one was killed."""
        return self.path / "outcome.json"


class Placed(Tolerant):
    """What the supervisor put in place."""

    attempt_id: str = ""
    job_id: str = ""
    attempt_number: int = Field(1, ge=1)
    submitted_at: UtcDatetime | None = None
    """When the job was submitted: the date of a chat template that writes one, in every attempt. Null: today's."""
    model_revision: str | None = None
    """Commit of the hub that `model` is."""
    model_roots: list[Path] | None = None
    """Real directories that hold every file that the model may lead to; null: not checked, in a run by hand."""
    train_revision: str | None = None
    """Commit of the hub that the training rows are."""
    eval_revision: str | None = None
    resumed_from: int | None = None
    """Number of the attempt whose checkpoint lies in `resume/`."""
    spool_bytes: int | None = None
    """Length of records.jsonl beyond which figures are thinned; null: none."""
    hang_seconds: float = 1800.0
    """Longest time between two micro-batches, beyond which the program is taken to hang."""

    @property
    def origin(self) -> Origin:
        """What those that go on from this attempt's checkpoints take as well."""
        return Origin(
            model_revision=self.model_revision,
            train_revision=self.train_revision,
            eval_revision=self.eval_revision,
        )


class Control(Tolerant):
    """What is wanted of the running program."""

    wanted: Wanted = Wanted.CONTINUE


def write_atomically(path: Path, content: str | bytes, *, sync: bool = True) -> None:
    """Write aside, fsync, rename: a reader sees the old file or the new one, never half of it.

    Without `sync` that holds for readers alone: after a power failure the file may be empty.
    """
    aside = path.with_name(path.name + ".tmp")
    with aside.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    aside.replace(path)


def write_model(path: Path, model: Any) -> None:
    """Write a contract model as JSON, atomically."""
    write_atomically(path, model.model_dump_json(indent=2) + "\n")
