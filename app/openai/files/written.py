"""Files that a job has written: its metrics as CSV with OpenAI's columns, its adapter, and the adapters of its checkpoints.

They have no rows of their own, so they cannot be deleted by themselves.
"""

import contextlib
import csv
import io
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.artifacts.service import get_artifact
from app.checkpoints import store as checkpoints
from app.checkpoints.adapters import build_archive, require_stored
from app.db.engine import Database
from app.db.ids import is_id
from app.db.tables import Artifact, Checkpoint, Job
from app.errors.disk import storage_errors
from app.errors.kinds import ArtifactNotFound, FileNotFound, FileOfJob, JobNotFound
from app.files.schemas import FileView
from app.history.export import ExportQuery, read_pages
from app.jobs import service as jobs
from app.openai import ids
from app.openai.files import store
from app.series.line import Bounds, Place
from app.storage.building import build
from app.storage.data_dir import Draft, Storage
from contracts.job import JobStatus
from contracts.protocol.wire import ADAPTER_ARTIFACT

RESULTS_NAME = "step_metrics.csv"
CSV, ZIP = "text/csv; charset=utf-8", "application/zip"
COLUMNS = {
    "loss": "train_loss",
    "token_accuracy": "train_accuracy",
    "eval_loss": "valid_loss",
    "eval_token_accuracy": "valid_mean_token_accuracy",
}
"""The columns of a result file that follow `step`, by the names of our series."""


class Content(NamedTuple):
    """A stored file to send."""

    path: Path
    name: str
    media_type: str
    tag: str
    """The same for equal content."""


def find_view(database: Database, storage: Storage, file_id: str) -> FileView | None:
    """Return a file that a job has written; None for any other id.

    Raises FileNotFound, and the errors of find_content for a checkpoint.
    """
    written = ids.written_file(file_id)
    if written is None:
        return None
    with database.reading() as session:
        match written.kind:
            case "results":
                job = _require_finished(session, written.owner, file_id)
                ended_at, size = job.ended_at or job.created_at, store.find_size(session, job.id)
            case "adapter":
                adapter = _require_adapter(session, written.owner, file_id)
                ended_at = jobs.get_row(session, written.owner).ended_at or adapter.created_at
                return view(file_id, ADAPTER_ARTIFACT, adapter.bytes, ended_at)
            case "checkpoint":
                checkpoint = _require_checkpoint(session, written.owner, file_id)
                stored = require_stored(session, checkpoint)
    if written.kind == "checkpoint":
        path = build_archive(storage, stored)
        with storage_errors():
            size = path.stat().st_size
        return view(file_id, _archive_name(checkpoint), size, checkpoint.created_at)
    if size is None:
        size = measure(database, written.owner)
    return view(file_id, RESULTS_NAME, size, ended_at)


def find_content(database: Database, storage: Storage, file_id: str) -> Content | None:
    """Return the content of a file that a job has written; None for any other id.

    Raises FileNotFound, and for a checkpoint CheckpointNotStored or CheckpointWithoutAdapter.
    """
    written = ids.written_file(file_id)
    if written is None:
        return None
    with database.reading() as session:
        match written.kind:
            case "results":
                _require_finished(session, written.owner, file_id)
            case "adapter":
                adapter = _require_adapter(session, written.owner, file_id)
                path = storage.path(adapter.path)
                return Content(path, ADAPTER_ARTIFACT, ZIP, adapter.sha256)
            case "checkpoint":
                checkpoint = _require_checkpoint(session, written.owner, file_id)
                stored = require_stored(session, checkpoint)
    if written.kind == "checkpoint":
        path = build_archive(storage, stored)
        return Content(path, _archive_name(checkpoint), ZIP, stored.tag)
    path = _build_results(database, storage, written.owner)
    return Content(path, RESULTS_NAME, CSV, file_id)


def view(file_id: str, name: str, size: int, created_at: datetime) -> FileView:
    """Return a file that a job has written."""
    return FileView(
        id=file_id,
        bytes=size,
        created_at=int(created_at.timestamp()),
        filename=name,
        purpose="fine-tune-results",
        status="processed",
    )


def reject_deletion(session: Session, file_id: str) -> None:
    """Raise FileOfJob if a job has written the file, and FileNotFound if it does not exist."""
    written = ids.written_file(file_id)
    if written is None:
        return
    match written.kind:
        case "results":
            job_id = _require_finished(session, written.owner, file_id).id
        case "adapter":
            job_id = written.owner
            _require_adapter(session, job_id, file_id)
        case "checkpoint":
            job_id = _require_checkpoint(session, written.owner, file_id).job_id
    raise FileOfJob(file=file_id[:100], job=job_id)


def measure(database: Database, job_id: str) -> int:
    """Return the number of bytes of a job's result file, and store it."""
    size = sum(len(line) for line in result_lines(database, job_id))  # the lines are ASCII
    with contextlib.suppress(IntegrityError), database.writing() as session:  # a deleted job
        store.keep_size(session, job_id, size)
    return size


def result_lines(database: Database, job_id: str) -> Iterator[str]:
    """Yield CSV: a header, then one line per step. Missing and non-finite values are empty fields."""
    yield _line(["step", *COLUMNS.values()])
    query = ExportQuery(tuple(COLUMNS), Bounds(1), Place())
    current, values = 0, dict[str, float]()
    for _, rows in read_pages(database, job_id, query):
        lines = []
        for _, step, _, found in rows:
            named = {name: value for name, value in found.items() if name in COLUMNS}
            if not named:
                continue
            if step != current and values:
                lines.append(_line([current, *_cells(values)]))
                values = {}
            current = step
            values |= named
        yield "".join(lines)
    if values:
        yield _line([current, *_cells(values)])


def _build_results(database: Database, storage: Storage, job_id: str) -> Path:
    """Return the path of a result file, which is built unless it exists."""

    def write(draft: Draft) -> None:
        for line in result_lines(database, job_id):
            draft.write(line.encode())

    return build(storage, storage.results(job_id), write)


def _archive_name(checkpoint: Checkpoint) -> str:
    return f"adapter-step-{checkpoint.step}.zip"


def _require_finished(session: Session, job_id: str, file_id: str) -> Job:
    try:
        job = jobs.get_row(session, job_id)
    except JobNotFound as error:
        raise FileNotFound(file=file_id[:100]) from error
    if job.status is not JobStatus.SUCCEEDED:
        raise FileNotFound(file=file_id[:100])
    return job


def _require_adapter(session: Session, job_id: str, file_id: str) -> Artifact:
    try:
        return get_artifact(session, job_id, ADAPTER_ARTIFACT)
    except (JobNotFound, ArtifactNotFound) as error:
        raise FileNotFound(file=file_id[:100]) from error


def _require_checkpoint(session: Session, checkpoint_id: str, file_id: str) -> Checkpoint:
    found = checkpoints.find_checkpoint(session, checkpoint_id) if is_id(checkpoint_id) else None
    if found is None:
        raise FileNotFound(file=file_id[:100])
    return found


def _cells(values: Mapping[str, float]) -> list[object]:
    found = [values.get(name) for name in COLUMNS]
    return ["" if value is None or not math.isfinite(value) else value for value in found]


def _line(cells: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
