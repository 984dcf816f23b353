"""Ends attempts: when the worker reports the end, when it stops reporting, or when it no longer runs the attempt."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.artifacts import store as artifacts
from app.attempts import device_failures, health, store
from app.attempts.progress import AttemptProgress
from app.db.engine import database_now
from app.db.tables import Attempt, Job, to_json
from app.errors.kinds import ArtifactsMissing, AttemptSuperseded, RecordsMissing
from app.jobs import store as jobs
from app.jobs.endings import device_failures as failures
from app.jobs.endings.settlement import Settlement
from app.jobs.queue import order as queue
from app.leases import lease
from app.leases.lease import Times
from app.leases.store import HeldAttempt
from app.plans import outcomes
from contracts.attempt import AttemptStatus, FinishReply, FinishRequest
from contracts.job import JobStatus
from contracts.protocol.wire import ADAPTER_ARTIFACT


def finish_attempt(
    session: Session, attempt_id: str, token: str, request: FinishRequest, times: Times
) -> tuple[FinishReply, list[str]]:
    """End the attempt and update its job. A repeated request with the same outcome gets the same reply.

    Return the reply, and the queue once per ring to send. Raises InvalidToken, AttemptSuperseded, RecordsMissing, or
    ArtifactsMissing if a successful attempt lacks its summary or adapter.
    """
    stored = lease.get_attempt(session, attempt_id, token)
    if stored.outcome is not None and stored.outcome["status"] == request.outcome.status:
        return FinishReply(job_status=str(stored.settled_as)), []
    attempt, now = lease.hold(session, attempt_id, token, times)
    job = jobs.lock_job(session, attempt.job_id)
    if attempt.acked_seq < request.last_seq:
        raise RecordsMissing(
            "last_seq",
            attempt=attempt_id,
            last_seq=request.last_seq,
            acked_seq=attempt.acked_seq,
        )
    is_success = request.outcome.status == "succeeded"
    if is_success:
        _check_success(session, attempt, request)
    health.judge_end(session, attempt)
    content = to_json(request.outcome)
    if store.end_attempt(session, attempt, request.outcome, content, now) is None:
        raise AttemptSuperseded(attempt=attempt_id, status="ended")
    settlement = Settlement(session, attempt, job, now, times.retry_seconds)
    if device_failures.is_checked_failure(stored, request.outcome):
        device_failures.record_failure(session, stored, job, request.outcome, now)
        fault = device_failures.find_fault(session, job.id, request.outcome)
        status = settlement.apply_device_failure(
            request.outcome, fault, device_failures.CHECK_SECONDS
        )
    else:
        status = settlement.apply_outcome(request.outcome, request.summary)
    if is_success and request.summary is not None:
        outcomes.record_outcome(session, job, stored, request.summary, now)
        failures.excuse_devices(session, attempt.worker_id, stored.cards or [])
    if is_success and attempt.first_step is None and attempt.resumed_step is not None:
        # No steps remained, so the history continues with this attempt's evaluation.
        store.update_attempt(session, attempt, AttemptProgress(first_step=attempt.resumed_step + 1))
    store.note_settlement(session, attempt, status)
    return FinishReply(job_status=status.value), _rings_after(session, attempt, job, status, now)


def lose_attempt(session: Session, attempt_id: str, times: Times) -> tuple[str, list[str]] | None:
    """End an attempt whose takeover time has passed, and update its job. Return None if its worker has synced.

    Otherwise, return the job's id, and the queue once per ring to send.
    """
    now = database_now(session)
    attempt = store.mark_lost(session, attempt_id, now)
    if attempt is None:
        return None
    job = jobs.lock_job(session, attempt.job_id)
    health.judge_end(session, attempt)
    status = Settlement(session, attempt, job, now, times.retry_seconds).apply_loss()
    store.note_settlement(session, attempt, status)
    return job.id, _rings_after(session, attempt, job, status, now)


def end_stale(session: Session, attempt: Attempt, times: Times, now: datetime) -> list[str]:
    """End an attempt that its worker no longer runs, and update its job. Return the queue once per ring to send.

    An attempt that never synced was not delivered to the worker, so it does not count as lost.
    """
    was_delivered = attempt.synced_at > attempt.started_at
    status = AttemptStatus.LOST if was_delivered else AttemptStatus.INTERRUPTED
    ended = store.mark_ended(session, attempt.id, status, now)
    if ended is None:
        return []
    job = jobs.lock_job(session, ended.job_id)
    health.judge_end(session, ended)
    settlement = Settlement(session, ended, job, now, times.retry_seconds)
    if was_delivered:
        settled = settlement.apply_loss("attempt_abandoned")
    else:
        settled = settlement.apply_undelivered()
    store.note_settlement(session, ended, settled)
    return _rings_after(session, ended, job, settled, now)


def _rings_after(
    session: Session, attempt: HeldAttempt, job: Job, status: JobStatus, now: datetime
) -> list[str]:
    """Return the queue once per ring to send: one per freed GPU, or one if the job can be claimed again immediately."""
    if attempt.gpus > 1:
        return [job.queue] * queue.count_claimable(session, job.queue, now, attempt.gpus)
    return [job.queue] if status is JobStatus.QUEUED and job.not_before is None else []


def _check_success(session: Session, attempt: HeldAttempt, request: FinishRequest) -> None:
    if request.summary is None:
        raise ArtifactsMissing("summary", attempt=attempt.id, missing="summary")
    if artifacts.find_of_attempt(session, attempt.id, ADAPTER_ARTIFACT) is None:
        raise ArtifactsMissing(attempt=attempt.id, missing=ADAPTER_ARTIFACT)
