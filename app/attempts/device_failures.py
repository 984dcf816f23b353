"""Distinguishes jobs that break devices from devices that break by themselves.

If a device fails during an attempt, the attempt becomes the suspect of its worker, and the job returns to the queue. If the
device then passes a check, the job may be the cause. A job to which that happens twice fails, because it would otherwise stop one
worker after another.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.events import store as events
from app.jobs import failure_counts
from app.jobs import store as jobs
from app.workers import store as workers
from app.workers.store import NO_SUSPECT, Suspect
from contracts.attempt import Outcome, WorkerInfo
from contracts.failure import Failure, FailureReason

MAX_DEVICE_FAILURES = 2
"""A job fails after its attempts have ended with `device_failed` this many times on devices that then passed a check."""
PASSED = "device_check_passed"
"""Code of the event that an attempt's device passed a check after the attempt had ended with `device_failed`."""


def is_device_failure(outcome: Outcome) -> bool:
    """Return whether an attempt ended because its worker's device failed."""
    return outcome.failure is not None and outcome.failure.reason is FailureReason.DEVICE_FAILED


def suspect_attempt(session: Session, attempt: Attempt) -> bool:
    """Make an attempt that ends with `device_failed` the suspect of its worker; False if the worker does not check its device.

    Call this before the rows of the attempt and the job are locked: a hello locks the worker's row first, too.
    """
    check = WorkerInfo.model_validate(attempt.worker).device_check
    if check is None:
        return False
    workers.set_suspect(session, attempt.worker_id, Suspect(attempt.id, check.count))
    return True


def clear_suspect(session: Session, worker: WorkerInfo, suspect: Suspect, now: datetime) -> None:
    """If the worker's device has passed a check since its suspect started, count the failure against the suspect's job."""
    check = worker.device_check
    if suspect.attempt_id is None or check is None:
        return
    if not check.passed or check.count <= suspect.check_count:
        return
    workers.set_suspect(session, worker.worker_id, NO_SUSPECT)
    attempt = session.get(Attempt, suspect.attempt_id)
    job = None if attempt is None else jobs.find_and_lock(session, attempt.job_id)
    if attempt is None or job is None or job.status.is_final:
        return
    failures = failure_counts.count_device_failure(session, job)
    events.insert_event(
        session,
        job.id,
        PASSED,
        now,
        attempt=attempt.number,
        level="warning",
        number=attempt.number,
        worker=attempt.worker_id,
    )
    if failures < MAX_DEVICE_FAILURES:
        return
    failure = _describe(session, attempt)
    if jobs.mark_failed_before_start(session, job.id, failure, now) is not None:
        events.insert_event(
            session, job.id, "job_failed", now, level="error", reason=failure.reason.value
        )


def _describe(session: Session, last: Attempt) -> Failure:
    passed = events.list_newest(session, last.job_id, PASSED, MAX_DEVICE_FAILURES)
    attempts = " and ".join(
        f"attempt {event.data['number']} on {event.data['worker']}" for event in reversed(passed)
    )
    outcome = Outcome.model_validate(last.outcome)
    cause = outcome.failure or Failure(reason=FailureReason.DEVICE_FAILED)
    detail = (
        f"The device failed during {attempts}, and each time it then passed its check, so the job may be the cause. "
        f"Error of attempt {last.number}:\n{cause.detail}"
    )
    return cause.model_copy(update={"detail": detail[:20_000]})
