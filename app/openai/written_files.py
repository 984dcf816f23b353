"""Files that a finished job has written: its metrics as CSV with OpenAI's columns, and its adapter."""

import csv
import io
import math
from collections.abc import Iterator, Mapping

from sqlalchemy.orm import Session

from app.artifacts.service import get_artifact
from app.db.engine import Database
from app.db.tables import Artifact, Job
from app.errors.kinds import ArtifactNotFound, FileNotFound, FileOfJob, JobNotFound
from app.files.schemas import FileView
from app.history.export import ExportQuery, read_pages
from app.jobs import service as jobs
from app.openai import ids
from app.series.line import Bounds, Place
from contracts.job import JobStatus
from contracts.wire import ADAPTER_ARTIFACT

COLUMNS = {
    "loss": "train_loss",
    "token_accuracy": "train_accuracy",
    "eval_loss": "valid_loss",
    "eval_token_accuracy": "valid_mean_token_accuracy",
}
"""The columns of a result file that follow `step`, by the names of our series."""


def find_view(database: Database, file_id: str) -> FileView | None:
    """Return a file that a job has written; None for any other id. Raises FileNotFound."""
    written = ids.written_file(file_id)
    if written is None:
        return None
    job_id = written[1]
    with database.reading() as session:
        job = _require_finished(session, job_id, file_id)
        adapter = find_adapter(session, file_id)
        ended_at = job.ended_at or job.created_at
    if adapter is not None:
        size, name = adapter.bytes, adapter.name
    else:
        size, name = sum(len(line) for line in result_lines(database, job_id)), "step_metrics.csv"
    return FileView(
        id=file_id,
        bytes=size,
        created_at=int(ended_at.timestamp()),
        filename=name,
        purpose="fine-tune-results",
        status="processed",
    )


def find_results(database: Database, file_id: str) -> Iterator[str] | None:
    """Return the lines of a result file; None for any other id. Raises FileNotFound."""
    written = ids.written_file(file_id)
    if written is None or written[0] != "results":
        return None
    with database.reading() as session:
        _require_finished(session, written[1], file_id)
    return result_lines(database, written[1])


def find_adapter(session: Session, file_id: str) -> Artifact | None:
    """Return the adapter with this file id; None for any other kind of id. Raises FileNotFound."""
    written = ids.written_file(file_id)
    if written is None or written[0] != "adapter":
        return None
    try:
        return get_artifact(session, written[1], ADAPTER_ARTIFACT)
    except (JobNotFound, ArtifactNotFound) as error:
        raise FileNotFound(file=file_id[:100]) from error


def reject_deletion(file_id: str) -> None:
    """Raise FileOfJob if a job has written the file."""
    written = ids.written_file(file_id)
    if written is not None:
        raise FileOfJob(file=file_id[:100], job=written[1][:100])


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


def _require_finished(session: Session, job_id: str, file_id: str) -> Job:
    try:
        job = jobs.get_row(session, job_id)
    except JobNotFound as error:
        raise FileNotFound(file=file_id[:100]) from error
    if job.status is not JobStatus.SUCCEEDED:
        raise FileNotFound(file=file_id[:100])
    return job


def _cells(values: Mapping[str, float]) -> list[object]:
    found = [values.get(name) for name in COLUMNS]
    return ["" if value is None or not math.isfinite(value) else value for value in found]


def _line(cells: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
