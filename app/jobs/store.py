"""SQL for jobs: rows, locks, and the columns used by lists. Status transitions are in transitions.py."""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import ColumnElement, Update, bindparam, delete, select, update
from sqlalchemy.orm import Session

from app.db.tables import Attempt, Base, Job, JobLabel, JobText
from app.jobs.columns import JobColumns
from app.jobs.progress import JobProgress
from app.jobs.run_time import RUN_SECONDS
from app.leases.store import HeldAttempt
from contracts.job import JobStatus, Phase

_JOBS = Base.metadata.tables[Job.__tablename__]
_LOCK = (
    select(Job)
    .where(Job.id == bindparam("job"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_PLAIN = {"synchronize_session": False}
SORTED_CHARACTERS = 100
"""Number of characters of a name used for sorting."""


class HeldJob(NamedTuple):
    """The columns of a locked job that a sync needs. This is a plain row, like HeldAttempt."""

    id: str
    phase: Phase | None
    total_steps: int | None
    seconds_per_step: float | None
    checkpoint_step: int
    health: list[dict[str, Any]] | None
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None


class _TextColumns(TypedDict, total=False):
    text: str
    name: str | None
    archived: bool


# These statements are built only once, because syncs and polls run them frequently.
_STATUS = select(_JOBS.c.status).where(_JOBS.c.id == bindparam("job"))
_VERSION = select(_JOBS.c.version).where(_JOBS.c.id == bindparam("job"))
_WITH_LEASE = (
    select(Job, Attempt.lease_expires_at, RUN_SECONDS)
    .outerjoin(Attempt, Attempt.id == Job.current_attempt_id)
    .where(Job.id == bindparam("job"))
)
_HOLD = (
    select(*[_JOBS.c[name] for name in HeldJob._fields])
    .where(_JOBS.c.id == bindparam("job"))
    .with_for_update()
)


def text_of(name: str, model: str, job_id: str) -> str:
    """Return the searchable text of a job."""
    return "\n".join((name, model, job_id)).casefold()


def sort_name_of(name: str) -> str | None:
    """Return the sort key of a name; None if it is empty."""
    return name.casefold()[:SORTED_CHARACTERS] or None


def insert_job(session: Session, job: Job, name: str, labels: dict[str, str]) -> None:
    """Store a new job. Its search text and labels are stored at the next flush, together with the rows that the caller adds."""
    session.add(job)
    session.flush()
    text = text_of(name, job.model, job.id)
    session.add(JobText(number=job.number, text=text, name=sort_name_of(name), archived=False))
    _insert_labels(session, job, labels)


def update_job(session: Session, job: Job, **values: Unpack[JobColumns]) -> None:
    """Write columns that a user may edit, and increment the version. The job must be locked."""
    update_where(session, (Job.id == job.id,), **values)


def update_name(session: Session, job: Job, name: str) -> None:
    """Write the name that lists use for search and sorting."""
    text = text_of(name, job.model, job.id)
    _update_text(session, job, text=text, name=sort_name_of(name))


def replace_labels(session: Session, job: Job, labels: dict[str, str]) -> None:
    """Write the labels that lists use for filtering."""
    session.execute(delete(JobLabel).where(JobLabel.job_id == job.id), execution_options=_PLAIN)
    _insert_labels(session, job, labels)


def mark_archived(session: Session, job: Job, *, archived: bool) -> None:
    """Set whether lists omit the job. The job must be locked."""
    update_job(session, job, archived=archived)
    _update_text(session, job, archived=archived)
    labels = update(JobLabel).where(JobLabel.job_id == job.id).values(archived=archived)
    session.execute(labels, execution_options=_PLAIN)


def _insert_labels(session: Session, job: Job, labels: dict[str, str]) -> None:
    place = {"created_at": job.created_at, "number": job.number, "archived": job.archived}
    session.add_all(
        JobLabel(job_id=job.id, key=key, value=value, **place) for key, value in labels.items()
    )


def _update_text(session: Session, job: Job, **values: Unpack[_TextColumns]) -> None:
    text = update(JobText).where(JobText.number == job.number).values(**values)
    session.execute(text, execution_options=_PLAIN)


def find_job(session: Session, job_id: str) -> tuple[Job, datetime | None, float | None] | None:
    """Return the job, when its lease expires, and how long it has run (see RUN_SECONDS), or None."""
    row = session.execute(_WITH_LEASE, {"job": job_id}).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def find_plain(session: Session, job_id: str) -> Job | None:
    """Return the job without its lease, or None."""
    return session.scalars(select(Job).where(Job.id == job_id)).one_or_none()


def lock_job(session: Session, job_id: str) -> Job:
    """Return an existing job, locked until the transaction ends."""
    job = find_and_lock(session, job_id)
    assert job is not None  # noqa: S101  # the caller has locked its attempt, and a running job cannot be deleted
    return job


def hold_job(session: Session, job_id: str) -> HeldJob:
    """Return the columns of an existing job that a sync needs, locked like lock_job()."""
    return HeldJob._make(session.execute(_HOLD, {"job": job_id}).one())


def find_and_lock(session: Session, job_id: str) -> Job | None:
    """Return the job, locked until the transaction ends, or None."""
    return session.scalars(_LOCK, {"job": job_id}).one_or_none()


def find_status(session: Session, job_id: str) -> JobStatus | None:
    """Return the job's status, or None."""
    return session.scalar(_STATUS, {"job": job_id})


def find_version(session: Session, job_id: str) -> int | None:
    """Return the job's version, or None."""
    return session.scalar(_VERSION, {"job": job_id})


def list_versions(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """Return the versions of these jobs, by id."""
    query = select(Job.id, Job.version).where(Job.id.in_(job_ids))
    return dict(session.execute(query).all())


def delete_job(session: Session, job_id: str) -> bool:
    """Delete a job and every row that refers to it; False if the job is running."""
    deleted = session.execute(
        delete(Job)
        .where(Job.id == job_id, Job.status != JobStatus.RUNNING)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).first()
    return deleted is not None


def update_health(session: Session, job_id: str, health: list[dict[str, Any]] | None) -> None:
    """Write the findings about a job, and increment its version. The job must be locked."""
    update_where(session, (Job.id == job_id,), health=health)


def update_progress(session: Session, attempt: HeldAttempt, progress: JobProgress) -> None:
    """Write the job's progress and increment its version, unless the attempt is no longer current."""
    columns = progress.columns()
    held = {"job": attempt.job_id, "attempt": attempt.id}
    session.execute(_progress(tuple(columns)), held | columns)


@functools.cache
def _progress(names: tuple[str, ...]) -> Update:
    return (
        update(_JOBS)
        .where(_JOBS.c.id == bindparam("job"), _JOBS.c.current_attempt_id == bindparam("attempt"))
        .values({"version": _JOBS.c.version + 1} | {name: bindparam(name) for name in names})
    )


def update_where(
    session: Session, where: Sequence[ColumnElement[bool]], **values: Unpack[JobColumns]
) -> Job | None:
    """Update the job that meets these conditions, increment its version and return it; None if no job meets them."""
    return session.scalars(
        update(Job)
        .where(*where)
        .values(version=Job.version + 1, **values)
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()
