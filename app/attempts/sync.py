"""Handles requests from a running attempt: syncs, records of earlier attempts, and dataset downloads."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from app.attempts import health, intake, progress, store
from app.attempts.progress import NewEvent
from app.checkpoints import service as checkpoints
from app.datasets import store as datasets
from app.db.tables import Dataset
from app.errors.kinds import AttemptNotFound
from app.events import store as events
from app.jobs import store as jobs
from app.jobs.progress import UNCHANGED, JobProgress
from app.jobs.store import HeldJob
from app.leases import lease
from app.leases.lease import Times
from app.leases.store import HeldAttempt
from contracts.attempt import SyncReply, SyncRequest, Wanted
from contracts.record import Record


def sync_attempt(
    session: Session, attempt_id: str, token: str, request: SyncRequest, times: Times
) -> SyncReply:
    """Renew the lease, store new data, and return the action. Repeated syncs store nothing twice.

    Raises InvalidToken, or AttemptSuperseded if the attempt has ended.
    """
    attempt, now = lease.hold(session, attempt_id, token, times)
    job = jobs.hold_job(session, attempt.job_id)
    fresh = intake.store_records(session, attempt, request.records)
    news = progress.read_news(job, attempt, fresh)
    progress.note_phase(job, request.phase, news)
    progress.note_rows(job, request.rows, news)
    if fresh:
        news.attempt = intake.count_records(session, attempt, fresh, news.attempt)
    if request.output is not None:
        stored_bytes = intake.store_output(session, attempt, request.output)
        news.attempt = replace(news.attempt, acked_output=stored_bytes)
    progress.read_notes(attempt, request.notes, news)
    attempt = store.update_attempt(session, attempt, news.attempt)
    if request.samples:
        store.insert_samples(session, attempt, request.samples)
    attempt = health.judge(session, job, attempt, news, fresh)
    if fresh or request.samples or news.job != JobProgress():
        jobs.update_progress(session, attempt, news.job)
    _insert_events(session, attempt, news.events, now)
    checkpoints.note_checkpoints(session, attempt, fresh, now)
    return SyncReply(
        wanted=_instruction(job),
        lease_seconds=times.lease_seconds,
        acked_seq=attempt.acked_seq,
        acked_output=attempt.acked_output,
        acked_note=attempt.acked_note,
    )


def store_earlier(
    session: Session,
    attempt_id: str,
    token: str,
    times: Times,
    *,
    number: int,
    records: list[Record],
) -> int:
    """Store records that an earlier attempt of the job could not send, and return its new acked_seq.

    Only the earlier attempt's history and the job's `checkpoint_step` can change; the job shows the progress of the running
    attempt. Raises InvalidToken, AttemptSuperseded, or AttemptNotFound if the job has no ended attempt with that number.
    """
    current, now = lease.hold(session, attempt_id, token, times)
    job = jobs.hold_job(session, current.job_id)
    earlier = store.find_earlier(session, job.id, number)
    if earlier is None:
        raise AttemptNotFound(job=job.id, number=number)
    fresh = intake.store_records(session, earlier, records)
    if not fresh:
        return earlier.acked_seq
    news = progress.read_news(job, earlier, fresh)
    news.attempt = intake.count_records(session, earlier, fresh, news.attempt)
    earlier = store.update_attempt(session, earlier, news.attempt)
    if news.job.checkpoint_step is not UNCHANGED:
        reached = JobProgress(checkpoint_step=news.job.checkpoint_step)
        jobs.update_progress(session, current, reached)
    _insert_events(session, earlier, news.events, now)
    return earlier.acked_seq


def find_dataset(
    session: Session, attempt_id: str, token: str, dataset_id: str, times: Times
) -> Dataset | None:
    """Return a dataset of the attempt's job, or None if the job does not use it."""
    attempt, _ = lease.hold(session, attempt_id, token, times)
    job = jobs.lock_job(session, attempt.job_id)
    is_used = dataset_id in {job.train_dataset_id, job.eval_dataset_id}
    if not is_used and not datasets.is_linked(session, job.id, dataset_id):
        return None
    return datasets.find_dataset(session, dataset_id)


def _insert_events(
    session: Session, attempt: HeldAttempt, found: Iterable[NewEvent], now: datetime
) -> None:
    for code, level, figures in found:
        events.insert_event(
            session, attempt.job_id, code, now, attempt=attempt.number, level=level, **figures
        )


def _instruction(job: HeldJob) -> Wanted:
    if job.cancel_requested_at is not None:
        return Wanted.CANCEL
    return Wanted.CONTINUE if job.pause_requested_at is None else Wanted.PAUSE
