"""Job status transitions. Each is one UPDATE that checks the current status and returns None if the check fails."""

from datetime import datetime
from typing import Unpack

from sqlalchemy import ColumnElement, ScalarSelect, func
from sqlalchemy.orm import Session

from app.db.tables import Job, to_json
from app.jobs.columns import JobColumns, RowCounts
from app.jobs.store import update_where
from app.leases.store import HeldAttempt
from app.webhooks import outbox
from contracts.failure import Failure
from contracts.job import JobStatus, Phase
from contracts.summary import Summary

NO_ROWS = RowCounts(rows_done=None, rows_total=None, rows_seconds=None, rows_seconds_left=None)
"""Row counts of a phase that does not count rows or has just started."""


def mark_running(
    session: Session, number: ScalarSelect[int], attempt_id: str, now: datetime
) -> Job | None:
    """Queued → running: assign the job to an attempt. A single statement, so only one concurrent claim succeeds."""
    return update_where(
        session,
        (Job.number == number, Job.status == JobStatus.QUEUED),
        status=JobStatus.RUNNING,
        attempt_number=Job.attempt_number + 1,
        current_attempt_id=attempt_id,
        started_at=func.coalesce(Job.started_at, now),
        reserved_host=None,
        reserved_seconds=0,
        larger_until=None,
        phase=Phase.PLACING,
        seconds_per_step=None,
        **NO_ROWS,
    )


def mark_cancel_requested(session: Session, job_id: str, now: datetime) -> Job | None:
    """Record a cancel request on a running job; its status changes once the training process has ended."""
    return update_where(
        session,
        (
            Job.id == job_id,
            Job.status == JobStatus.RUNNING,
            Job.cancel_requested_at.is_(None),
        ),
        cancel_requested_at=now,
        pause_requested_at=None,  # a cancel overrides a pause
    )


def mark_pause_requested(session: Session, job_id: str, now: datetime) -> Job | None:
    """Record a pause request on a running job; its status changes once its attempt has ended."""
    return update_where(
        session,
        (
            Job.id == job_id,
            Job.status == JobStatus.RUNNING,
            Job.cancel_requested_at.is_(None),
            Job.pause_requested_at.is_(None),
        ),
        pause_requested_at=now,
    )


def mark_pause_withdrawn(session: Session, job_id: str) -> Job | None:
    """Withdraw the pause request of a running job."""
    return update_where(
        session,
        (
            Job.id == job_id,
            Job.status == JobStatus.RUNNING,
            Job.pause_requested_at.is_not(None),
        ),
        pause_requested_at=None,
    )


def mark_paused_before_start(session: Session, job_id: str) -> Job | None:
    """Queued → paused: no process is running the job."""
    return update_where(
        session,
        (Job.id == job_id, Job.status == JobStatus.QUEUED),
        status=JobStatus.PAUSED,
        not_before=None,
        reserved_host=None,
    )


def mark_resumed(session: Session, job_id: str) -> Job | None:
    """Paused → queued."""
    return update_where(
        session, (Job.id == job_id, Job.status == JobStatus.PAUSED), status=JobStatus.QUEUED
    )


def mark_retried(
    session: Session, job: Job, train_dataset_id: str | None, eval_dataset_id: str | None
) -> Job | None:
    """Failed or cancelled → queued; resets the number of losses."""
    return update_where(
        session,
        (Job.id == job.id, Job.status.in_([JobStatus.FAILED, JobStatus.CANCELLED])),
        status=JobStatus.QUEUED,
        train_dataset_id=train_dataset_id,
        eval_dataset_id=eval_dataset_id,
        not_before=None,
        ended_at=None,
        cancel_requested_at=None,
        failure=None,
        losses=0,
        lost_checkpoint_step=Job.checkpoint_step,
    )


def mark_cancelled_before_start(session: Session, job_id: str, now: datetime) -> Job | None:
    """Queued or paused → cancelled: no process is running the job."""
    return _end_before_start(
        session, job_id, now, status=JobStatus.CANCELLED, cancel_requested_at=now
    )


def mark_failed_before_start(
    session: Session, job_id: str, failure: Failure, now: datetime
) -> Job | None:
    """Queued or paused → failed: no process is running the job."""
    return _end_before_start(
        session, job_id, now, status=JobStatus.FAILED, not_before=None, failure=to_json(failure)
    )


def _end_before_start(
    session: Session, job_id: str, now: datetime, **values: Unpack[JobColumns]
) -> Job | None:
    waits = Job.status.in_([JobStatus.QUEUED, JobStatus.PAUSED])
    ended: JobColumns = {"ended_at": now, "reserved_host": None, **values}
    job = update_where(session, (Job.id == job_id, waits), **ended)
    return _announced(session, job, now)


def mark_cancelled(session: Session, attempt: HeldAttempt, now: datetime) -> Job | None:
    """Running → cancelled: the training process has ended."""
    job = _end(session, attempt, status=JobStatus.CANCELLED, ended_at=now)
    return _announced(session, job, now)


def mark_succeeded(
    session: Session, attempt: HeldAttempt, summary: Summary, now: datetime
) -> Job | None:
    """Running → succeeded."""
    job = _end(
        session,
        attempt,
        status=JobStatus.SUCCEEDED,
        ended_at=now,
        eval_loss=summary.eval_loss,
        summary=to_json(summary),
    )
    return _announced(session, job, now)


def mark_failed(
    session: Session, attempt: HeldAttempt, failure: Failure, now: datetime
) -> Job | None:
    """Running → failed."""
    job = _end(
        session,
        attempt,
        status=JobStatus.FAILED,
        ended_at=now,
        failure=to_json(failure),
    )
    return _announced(session, job, now)


def mark_paused(session: Session, attempt: HeldAttempt) -> Job | None:
    """Running → paused: a checkpoint was written."""
    return _end(session, attempt, status=JobStatus.PAUSED)


def mark_queued_again(
    session: Session, attempt: HeldAttempt, not_before: datetime | None
) -> Job | None:
    """Running → queued: the attempt has ended and the job continues, unless a cancel has been requested."""
    return _end(
        session,
        attempt,
        Job.cancel_requested_at.is_(None),
        status=JobStatus.QUEUED,
        not_before=not_before,
    )


def _announced(session: Session, job: Job | None, now: datetime) -> Job | None:
    """Store the webhook deliveries for a job that has ended; return the job."""
    if job is not None:
        outbox.add_end_of_job(session, job.id, job.status, now)
    return job


def _end(
    session: Session,
    attempt: HeldAttempt,
    *where: ColumnElement[bool],
    **values: Unpack[JobColumns],
) -> Job | None:
    ended: JobColumns = {
        "current_attempt_id": None,
        "phase": None,
        "pause_requested_at": None,
        **NO_ROWS,
        **values,
    }
    return update_where(
        session,
        (
            Job.id == attempt.job_id,
            Job.status == JobStatus.RUNNING,
            Job.current_attempt_id == attempt.id,
            *where,
        ),
        **ended,
    )
