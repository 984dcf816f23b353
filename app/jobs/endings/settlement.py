"""Determines a job's next status after an attempt has ended: succeeded, failed, cancelled, paused, or queued again.

The caller must have ended the attempt in the same transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.events import store as events
from app.jobs import transitions
from app.jobs.endings import failure_counts
from app.leases.store import HeldAttempt
from contracts.attempt import Outcome
from contracts.failure import Failure, FailureReason
from contracts.job import JobStatus
from contracts.summary import Summary

MAX_LOSSES = 3
"""The job fails after this many consecutive losses without a new checkpoint."""


@dataclass(frozen=True)
class Settlement:
    """A finished attempt and its locked job. Each public method changes the job's status and returns the new one."""

    session: Session
    attempt: HeldAttempt
    job: Job
    now: datetime
    retry_seconds: float
    """Delay before the first retry; doubles with each consecutive loss."""

    def apply_outcome(self, outcome: Outcome, summary: Summary | None) -> JobStatus:
        """Update the job after its worker reported an outcome. Success requires a summary."""
        match outcome.status:
            case "succeeded":
                assert summary is not None  # noqa: S101  # finish_attempt rejects a success without one
                return self._succeed(summary)
            case "failed":
                return self._apply_failure(outcome)
            case "cancelled":
                return self._cancel()
            case "paused":
                return self._pause_or_queue(step=outcome.step)
            case "interrupted":
                self._note("attempt_interrupted", level="warning", step=outcome.step)
                return self._pause_or_queue(step=outcome.step)

    def apply_device_failure(
        self, outcome: Outcome, fault: Failure | None, wait_seconds: float
    ) -> JobStatus:
        """Update the job after a device failure on a worker that checks its device. This does not count as a loss.

        If `fault` is given, the job fails with it. Otherwise, no worker can claim the job for `wait_seconds`, while a
        check of the device determines whether the job may be the cause.
        """
        self._note_failure(outcome)
        if self.job.cancel_requested_at is not None:
            return self._cancel()
        if fault is not None:
            return self._fail(fault)
        return self._pause_or_queue(step=self.attempt.last_step or 0, wait_seconds=wait_seconds)

    def apply_loss(self, code: str = "attempt_lost") -> JobStatus:
        """Update the job after its worker was lost, and add an event with the given code.

        After the first consecutive loss, the job is retried immediately, because it has already waited for the worker.
        """
        attempt = self.attempt
        silent_seconds = round((self.now - attempt.synced_at).total_seconds())
        self._note(
            code,
            level="warning",
            number=attempt.number,
            worker=attempt.worker_id,
            silent_seconds=silent_seconds,
        )
        failure = Failure(
            reason=FailureReason.ATTEMPTS_EXHAUSTED,
            detail=f"attempt {attempt.number} on {attempt.worker_id} had not reported for {silent_seconds} s",
            step=attempt.last_step,
        )
        return self._retry(failure, retries_without_wait=1)

    def apply_undelivered(self) -> JobStatus:
        """Update the job after an attempt that was never delivered. This does not count as a loss."""
        attempt = self.attempt
        self._note(
            "attempt_undelivered", level="warning", number=attempt.number, worker=attempt.worker_id
        )
        return self._pause_or_queue(step=0)

    def _apply_failure(self, outcome: Outcome) -> JobStatus:
        failure = self._note_failure(outcome)
        return self._retry(failure) if failure.reason.is_retryable else self._fail(failure)

    def _note_failure(self, outcome: Outcome) -> Failure:
        failure = outcome.failure or Failure(reason=FailureReason.CRASHED)
        # The outcome of a killed process has step 0. Use the step in the records that the process sent.
        step = failure.step or outcome.step or self.attempt.last_step or 0
        if step:
            failure = failure.model_copy(update={"step": step})
        self._note(
            "attempt_failed",
            level="error",
            number=self.attempt.number,
            step=step,
            reason=failure.reason.value,
            detail=failure.detail[:500],
        )
        return failure

    def _retry(self, failure: Failure, retries_without_wait: int = 0) -> JobStatus:
        if self.job.cancel_requested_at is not None:
            return self._cancel()
        losses = failure_counts.count_loss(self.session, self.job)
        if losses >= MAX_LOSSES:
            summary = f"after {losses} attempts without a new checkpoint: {failure.reason.value}"
            exhausted = Failure(
                reason=FailureReason.ATTEMPTS_EXHAUSTED,
                detail=f"{summary}. {failure.detail}"[:20_000],
                step=failure.step,
            )
            return self._fail(exhausted)
        waits = losses - retries_without_wait
        wait_seconds = self.retry_seconds * 2 ** (waits - 1) if waits else 0.0
        return self._pause_or_queue(step=self.attempt.last_step or 0, wait_seconds=wait_seconds)

    def _pause_or_queue(self, *, step: int, wait_seconds: float = 0.0) -> JobStatus:
        """Pause the job if a pause request is pending, otherwise queue it again.

        The job's row is authoritative rather than the outcome, because the pause request may have been withdrawn in the
        meantime.
        """
        if self.job.cancel_requested_at is None and self.job.pause_requested_at is not None:
            transitions.mark_paused(self.session, self.attempt)
            self._note("job_paused", step=step)
            return JobStatus.PAUSED
        return self._queue_again(wait_seconds)

    def _queue_again(self, wait_seconds: float) -> JobStatus:
        not_before = self.now + timedelta(seconds=wait_seconds) if wait_seconds else None
        if transitions.mark_queued_again(self.session, self.attempt, not_before) is None:
            return self._cancel()
        self._note("job_requeued", wait_seconds=round(wait_seconds))
        return JobStatus.QUEUED

    def _succeed(self, summary: Summary) -> JobStatus:
        transitions.mark_succeeded(self.session, self.attempt, summary, self.now)
        self._note("job_succeeded")
        return JobStatus.SUCCEEDED

    def _fail(self, failure: Failure) -> JobStatus:
        transitions.mark_failed(self.session, self.attempt, failure, self.now)
        self._note("job_failed", level="error", reason=failure.reason.value)
        return JobStatus.FAILED

    def _cancel(self) -> JobStatus:
        transitions.mark_cancelled(self.session, self.attempt, self.now)
        self._note("job_cancelled")
        return JobStatus.CANCELLED

    def _note(self, code: str, *, level: str = "info", **figures: object) -> None:
        attempt = self.attempt
        events.insert_event(
            self.session,
            attempt.job_id,
            code,
            self.now,
            attempt=attempt.number,
            level=level,
            **figures,
        )
