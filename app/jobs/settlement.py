"""What the end of an attempt makes of its job: succeeded, failed, cancelled, paused, or queued again.

The attempt itself has been ended, in the same transaction, by whoever calls this.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.events import store as events
from app.jobs import store
from app.leases.store import HeldAttempt
from contracts.attempt import Outcome
from contracts.failure import Failure, FailureReason
from contracts.job import JobStatus
from contracts.summary import Summary

MAX_LOSSES = 3
"""Losses in a row without a new checkpoint between them, after which the job fails."""


def settle_outcome(
    session: Session,
    attempt: HeldAttempt,
    outcome: Outcome,
    summary: Summary | None,
    *,
    job: Job,
    now: datetime,
    retry_seconds: float,
) -> JobStatus:
    """Apply what a worker reported, and return the job's new status."""
    match outcome.status:
        case "succeeded":
            assert summary is not None  # noqa: S101  # finish() has refused a success without one
            return _succeed(session, attempt, summary, now)
        case "failed":
            failure = outcome.failure or Failure(reason=FailureReason.CRASHED)
            events.insert_event(
                session,
                job.id,
                "attempt_failed",
                now,
                attempt=attempt.number,
                level="error",
                number=attempt.number,
                step=failure.step if failure.step is not None else outcome.step,
                reason=failure.reason.value,
                detail=failure.detail[:500],
            )
            if failure.reason.is_retryable:
                return _retry(
                    session, attempt, failure, job=job, now=now, retry_seconds=retry_seconds
                )
            return _fail(session, attempt, failure, now)
        case "cancelled":
            return _cancel(session, attempt, now)
        case "paused":
            return _go_on(session, attempt, job=job, step=outcome.step, now=now)
        case "interrupted":
            events.insert_event(
                session,
                job.id,
                "attempt_interrupted",
                now,
                attempt=attempt.number,
                level="warning",
                step=outcome.step,
            )
            return _go_on(session, attempt, job=job, step=outcome.step, now=now)


def settle_loss(
    session: Session,
    attempt: HeldAttempt,
    *,
    job: Job,
    now: datetime,
    retry_seconds: float,
    code: str = "attempt_lost",
) -> JobStatus:
    """Apply the loss of an attempt's worker, told by an event of that code, and return the job's new status.

    After the first loss in a row the job waits no longer: it has waited for its worker already.
    """
    silent_seconds = round((now - attempt.synced_at).total_seconds())
    events.insert_event(
        session,
        job.id,
        code,
        now,
        attempt=attempt.number,
        level="warning",
        number=attempt.number,
        worker=attempt.worker_id,
        silent_seconds=silent_seconds,
    )
    failure = Failure(
        reason=FailureReason.ATTEMPTS_EXHAUSTED,
        detail=f"attempt {attempt.number} on {attempt.worker_id} was silent for {silent_seconds} s",
        step=attempt.last_step,
    )
    return _retry(
        session, attempt, failure, job=job, now=now, retry_seconds=retry_seconds, without_wait=1
    )


def settle_unheard(session: Session, attempt: HeldAttempt, *, job: Job, now: datetime) -> JobStatus:
    """Apply the end of an attempt whose worker never heard of it: it costs nothing."""
    _note(
        session,
        attempt,
        "attempt_undelivered",
        now,
        level="warning",
        number=attempt.number,
        worker=attempt.worker_id,
    )
    return _go_on(session, attempt, job=job, step=0, now=now)


def _retry(
    session: Session,
    attempt: HeldAttempt,
    failure: Failure,
    *,
    job: Job,
    now: datetime,
    retry_seconds: float,
    without_wait: int = 0,
) -> JobStatus:
    if job.cancel_requested_at is not None:
        return _cancel(session, attempt, now)
    losses = store.count_loss(session, job)
    if losses >= MAX_LOSSES:
        last_words = f"after {losses} attempts without a new checkpoint: {failure.reason.value}"
        exhausted = Failure(
            reason=FailureReason.ATTEMPTS_EXHAUSTED,
            detail=f"{last_words}. {failure.detail}"[:20_000],
            step=failure.step,
        )
        return _fail(session, attempt, exhausted, now)
    step = attempt.last_step or 0
    waits = losses - without_wait
    wait_seconds = retry_seconds * 2 ** (waits - 1) if waits else 0.0
    return _go_on(session, attempt, job=job, step=step, now=now, wait_seconds=wait_seconds)


def _go_on(
    session: Session,
    attempt: HeldAttempt,
    *,
    job: Job,
    step: int,
    now: datetime,
    wait_seconds: float = 0.0,
) -> JobStatus:
    """Pause a job that is to be paused; queue any other again, whatever its attempt took itself to have been told."""
    if job.cancel_requested_at is None and job.pause_requested_at is not None:
        store.mark_paused(session, attempt)
        _note(session, attempt, "job_paused", now, step=step)
        return JobStatus.PAUSED
    return _queue_again(session, attempt, wait_seconds, now)


def _queue_again(
    session: Session, attempt: HeldAttempt, wait_seconds: float, now: datetime
) -> JobStatus:
    not_before = now + timedelta(seconds=wait_seconds) if wait_seconds else None
    if store.mark_queued_again(session, attempt, not_before) is None:
        return _cancel(session, attempt, now)
    _note(session, attempt, "job_requeued", now, wait_seconds=round(wait_seconds))
    return JobStatus.QUEUED


def _succeed(session: Session, attempt: HeldAttempt, summary: Summary, now: datetime) -> JobStatus:
    store.mark_succeeded(session, attempt, summary, now)
    _note(session, attempt, "job_succeeded", now)
    return JobStatus.SUCCEEDED


def _fail(session: Session, attempt: HeldAttempt, failure: Failure, now: datetime) -> JobStatus:
    store.mark_failed(session, attempt, failure, now)
    _note(session, attempt, "job_failed", now, level="error", reason=failure.reason.value)
    return JobStatus.FAILED


def _cancel(session: Session, attempt: HeldAttempt, now: datetime) -> JobStatus:
    store.mark_cancelled(session, attempt, now)
    _note(session, attempt, "job_cancelled", now)
    return JobStatus.CANCELLED


def _note(
    session: Session,
    attempt: HeldAttempt,
    code: str,
    now: datetime,
    level: str = "info",
    **data: object,
) -> None:
    events.insert_event(
        session, attempt.job_id, code, now, attempt=attempt.number, level=level, **data
    )
