"""SQL for the files of jobs: their list, and the sizes of result files."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from app.db.openai_tables import ResultFile
from app.db.sql import insert_missing
from app.db.tables import Artifact, Attempt, Job
from contracts.job import JobStatus
from contracts.protocol.wire import ADAPTER_ARTIFACT

MOST_NAMED = 1000
"""Maximum number of ids in one statement."""


class FinishedJob(NamedTuple):
    """A job that has succeeded."""

    number: int
    id: str
    ended_at: datetime
    results_bytes: int | None
    """None until the result file has been measured."""
    adapter_bytes: int | None
    """None once the adapter has been deleted."""


class JobPlace(NamedTuple):
    """Where a page of jobs begins: at this time and number, which are part of the page."""

    at: datetime
    number: int


def list_finished(
    session: Session, start: JobPlace | None, limit: int, *, is_ascending: bool
) -> list[FinishedJob]:
    """Return at most `limit` jobs that have succeeded and are not archived, in the order in which they ended."""
    order = tuple_(Job.ended_at, Job.number)
    columns = (Job.ended_at, Job.number)
    query = select(Job.number, Job.id, Job.ended_at, ResultFile.bytes)
    query = query.outerjoin(ResultFile, ResultFile.job_id == Job.id).where(
        Job.archived.is_(False), Job.status == JobStatus.SUCCEEDED
    )
    if start is not None:
        place = tuple_(literal(start.at, Job.ended_at.type), start.number)
        query = query.where(order >= place if is_ascending else order <= place)
    query = query.order_by(*(each if is_ascending else each.desc() for each in columns))
    rows = session.execute(query.limit(limit)).all()
    adapters = find_adapters(session, [row.id for row in rows])
    return [
        FinishedJob(number, job_id, ended_at, size, adapters.get(job_id))
        for number, job_id, ended_at, size in rows
        if ended_at is not None
    ]


def find_adapters(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of bytes of the adapter of each of these jobs that has one."""
    found: dict[str, int] = {}
    for first in range(0, len(job_ids), MOST_NAMED):
        rows = session.execute(
            select(Attempt.job_id, Artifact.bytes)
            .join(Artifact, Artifact.attempt_id == Attempt.id)
            .where(
                Attempt.job_id.in_(job_ids[first : first + MOST_NAMED]),
                Artifact.name == ADAPTER_ARTIFACT,
            )
            .order_by(Attempt.number)  # the newest attempt counts
        )
        found |= dict(rows.all())
    return found


def find_size(session: Session, job_id: str) -> int | None:
    """Return the number of bytes of a job's result file, if it has been measured."""
    return session.scalar(select(ResultFile.bytes).where(ResultFile.job_id == job_id))


def keep_size(session: Session, job_id: str, size: int) -> None:
    """Store the number of bytes of a job's result file."""
    insert_missing(session, ResultFile, [{"job_id": job_id, "bytes": size}])
