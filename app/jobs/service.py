"""Rules for stored jobs: reading them, and the actions allowed in each status. Submission is in submission/."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.db.engine import database_now
from app.db.ids import is_id
from app.db.tables import Job
from app.errors.kinds import (
    CancelPending,
    DatasetGone,
    JobAlreadyEnded,
    JobNotFound,
    JobPaused,
    JobRunning,
)
from app.events import store as events
from app.jobs import store, transitions
from app.jobs.endings import device_failures
from app.jobs.listing import lists
from app.jobs.listing.cursors import decode_place, encode_place
from app.jobs.queue import order as queue
from app.jobs.queue import reservations, waits
from app.jobs.schemas import (
    JobCounts,
    JobFilter,
    JobName,
    JobNamePage,
    JobPage,
    JobView,
)
from app.jobs.submission.job_data import dataset_columns, list_uploads
from app.jobs.views import view
from contracts.data_spec import DatasetSource
from contracts.failure import Language
from contracts.job import JobStatus, load_stored_spec

T = TypeVar("T")


def get_job(session: Session, job_id: str, language: Language) -> JobView:
    """Return a job as users see it. Raises JobNotFound."""
    return get_with_summary(session, job_id, language)[0]


def get_row(session: Session, job_id: str) -> Job:
    """Return a job's row. Raises JobNotFound."""
    return _found(store.find_plain, session, job_id)


def get_status(session: Session, job_id: str) -> JobStatus:
    """Return a job's status. Raises JobNotFound."""
    return _found(store.find_status, session, job_id)


def require_job(session: Session, job_id: str) -> None:
    """Raise JobNotFound if the job does not exist."""
    _found(store.find_version, session, job_id)


def get_with_summary(
    session: Session, job_id: str, language: Language
) -> tuple[JobView, dict[str, Any] | None]:
    """Return a job and the summary of its last attempt, or None if there is no summary. Raises JobNotFound."""
    job, lease_expires_at, run_seconds = _found(store.find_job, session, job_id)
    place = queue.find_place(session, job)
    now = database_now(session)
    waiting = waits.find_waits(session, [job], now, language).get(job.number)
    seen = view(
        job=job,
        lease_expires_at=lease_expires_at,
        run_seconds=run_seconds,
        place=place,
        waiting=waiting,
        now=now,
        language=language,
    )
    return seen, job.summary


def list_jobs(
    session: Session, chosen: JobFilter, cursor: str | None, limit: int, language: Language
) -> JobPage:
    """Return a page of jobs. Raises BadCursor."""
    after = decode_place(session, cursor, chosen.sort) if cursor else None
    found = lists.find_jobs(session, chosen, after, limit + 1)
    page = found.places[:limit]
    rows = lists.read_jobs(session, page)
    jobs = [job for job, *_ in rows]
    places = queue.find_places(session, jobs)
    now = database_now(session)
    reasons = waits.find_waits(session, jobs, now, language)
    end = found.ended_at or (page[-1] if page else None)
    return JobPage(
        data=[
            view(
                job=job,
                lease_expires_at=lease,
                run_seconds=run_seconds,
                place=places.get(job.number),
                waiting=reasons.get(job.number),
                now=now,
                language=language,
            )
            for job, lease, run_seconds in rows
        ],
        has_more=len(found.places) > limit or found.ended_at is not None,
        cursor=encode_place(end, chosen.sort) if end else cursor,
        searched=found.searched,
    )


def list_names(session: Session, chosen: JobFilter, cursor: str | None, limit: int) -> JobNamePage:
    """Return the ids and names of a page of jobs. Raises BadCursor."""
    after = decode_place(session, cursor, chosen.sort) if cursor else None
    found = lists.find_jobs(session, chosen, after, limit + 1)
    page = found.places[:limit]
    end = found.ended_at or (page[-1] if page else None)
    return JobNamePage(
        data=[JobName(id=job_id, name=name) for job_id, name in lists.read_names(session, page)],
        has_more=len(found.places) > limit or found.ended_at is not None,
        cursor=encode_place(end, chosen.sort) if end else cursor,
        searched=found.searched,
    )


def count_jobs(session: Session, chosen: JobFilter) -> JobCounts:
    """Return how many jobs match a filter, by status, and how many archived jobs match."""
    by_status = {status: lists.count_jobs(session, chosen, [status]) for status in JobStatus}
    archived = lists.count_jobs(session, chosen.model_copy(update={"archived": True}), [])
    return JobCounts(statuses=by_status, archived=archived)


def cancel_job(session: Session, job_id: str, language: Language) -> tuple[JobView, list[str]]:
    """Cancel a job immediately if it is not running, otherwise record the request.

    Return the job, and the queue once per ring to send. Raises JobAlreadyEnded.
    """
    now = database_now(session)
    job = lock_job(session, job_id)
    was_reserved = job.reserved_host is not None
    if transitions.mark_cancelled_before_start(session, job.id, now):
        events.insert_event(session, job.id, "job_cancelled", now)
    elif transitions.mark_cancel_requested(session, job.id, now):
        events.insert_event(session, job.id, "cancel_requested", now, attempt=job.attempt_number)
    view = get_job(session, job_id, language)
    if view.status.is_final and view.status is not JobStatus.CANCELLED:
        raise JobAlreadyEnded(job=job_id, status=view.status.value)
    return view, reservations.rings_after(session, job.queue, now) if was_reserved else []


def pause_job(session: Session, job_id: str, language: Language) -> tuple[JobView, list[str]]:
    """Pause a job immediately if it is not running, otherwise record the request.

    Return the job, and the queue once per ring to send. Raises JobAlreadyEnded, CancelPending.
    """
    now = database_now(session)
    job = lock_job(session, job_id)
    was_reserved = job.reserved_host is not None
    _reject_ended(job)
    _reject_cancelling(job)
    if transitions.mark_paused_before_start(session, job_id):
        events.insert_event(session, job_id, "job_paused", now, step=job.step)
    elif transitions.mark_pause_requested(session, job_id, now):
        events.insert_event(session, job_id, "pause_requested", now, attempt=job.attempt_number)
    to_ring = reservations.rings_after(session, job.queue, now) if was_reserved else []
    return get_job(session, job_id, language), to_ring


def resume_job(session: Session, job_id: str, language: Language) -> tuple[JobView, list[str]]:
    """Queue a paused job, or withdraw a pause request. Return the job, and the queue to ring if the job was queued.

    Raises JobAlreadyEnded, CancelPending.
    """
    now = database_now(session)
    job = lock_job(session, job_id)
    _reject_ended(job)
    _reject_cancelling(job)
    to_ring: list[str] = []
    if transitions.mark_resumed(session, job_id):
        events.insert_event(session, job_id, "job_resumed", now)
        to_ring = [job.queue]
    elif transitions.mark_pause_withdrawn(session, job_id):
        events.insert_event(session, job_id, "pause_withdrawn", now, attempt=job.attempt_number)
    return get_job(session, job_id, language), to_ring


def retry_job(session: Session, job_id: str, language: Language) -> tuple[JobView, list[str]]:
    """Queue a failed or cancelled job again. Return the job, and the queue to ring if the job was queued.

    Do nothing if the job is already queued or running. Raises JobAlreadyEnded (if it succeeded), JobPaused,
    CancelPending, DatasetGone.
    """
    now = database_now(session)
    job = lock_job(session, job_id)
    if job.status is JobStatus.SUCCEEDED:
        raise JobAlreadyEnded(job=job_id, status=job.status.value)
    if job.status is JobStatus.PAUSED:
        raise JobPaused(job=job_id)
    if not job.status.is_final:
        _reject_cancelling(job)
        return get_job(session, job_id, language), []
    spec = load_stored_spec(job.spec)
    uploads = list_uploads(spec)
    for source in (*uploads, spec.dataset.eval):
        _require_upload(session, job_id, source)
    transitions.mark_retried(session, job, **dataset_columns(spec))
    if spec.dataset.is_mixed:  # a dataset that was deleted and uploaded again is no longer linked
        datasets.link_datasets(session, job_id, uploads)
    if job.archived:
        store.mark_archived(session, job, archived=False)
    device_failures.excuse_job(session, job_id)
    events.insert_event(session, job_id, "job_retried", now)
    return get_job(session, job_id, language), [job.queue]


def delete_job(session: Session, job_id: str) -> list[str]:
    """Delete a job that is not running, and every row that refers to it. The caller deletes its files after the commit.

    Return the queue once per ring to send. Raises JobRunning.
    """
    job = lock_job(session, job_id)
    queue, was_reserved = job.queue, job.reserved_host is not None
    if not store.delete_job(session, job_id):
        raise JobRunning(job=job_id)
    return reservations.rings_after(session, queue, database_now(session)) if was_reserved else []


def lock_job(session: Session, job_id: str) -> Job:
    """Return the job, locked until the transaction ends to keep its status from changing. Raises JobNotFound."""
    job = store.find_and_lock(session, job_id) if is_id(job_id) else None
    if job is None:
        raise JobNotFound(job=job_id[:100])
    return job


def _reject_ended(job: Job) -> None:
    if job.status.is_final:
        raise JobAlreadyEnded(job=job.id, status=job.status.value)


def _reject_cancelling(job: Job) -> None:
    if job.cancel_requested_at is not None:
        raise CancelPending(job=job.id)


def _require_upload(session: Session, job_id: str, source: DatasetSource | None) -> None:
    """Raise DatasetGone if the source is an uploaded dataset that was deleted."""
    if isinstance(source, str) and datasets.find_dataset(session, source) is None:
        raise DatasetGone(job=job_id, dataset=source)


def _found(find: Callable[[Session, str], T | None], session: Session, job_id: str) -> T:
    """Return the result of `find` for a job. Raises JobNotFound."""
    found = find(session, job_id) if is_id(job_id) else None
    if found is None:
        raise JobNotFound(job=job_id[:100])
    return found
