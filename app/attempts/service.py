"""The conversation with a worker: claim, sync, finish; and what happens to an attempt that falls silent."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.artifacts import store as artifacts
from app.attempts import progress, store
from app.attempts.progress import AttemptProgress
from app.checkpoints import service as checkpoints
from app.config.settings import Settings
from app.datasets import store as datasets
from app.db.engine import database_now
from app.db.ids import new_id
from app.db.sql import WrittenJson
from app.db.tables import Attempt, Dataset, Job, to_json
from app.errors.kinds import (
    ArtifactsMissing,
    AttemptNotFound,
    AttemptSuperseded,
    NumberTooLarge,
    RecordsMissing,
)
from app.events import store as events
from app.jobs import queue, settlement
from app.jobs import store as jobs
from app.jobs.progress import UNCHANGED, JobProgress
from app.jobs.store import HeldJob
from app.leases import lease
from app.leases.lease import Times
from app.leases.store import HeldAttempt
from app.series import blocks
from app.workers import service as workers
from app.workers import store as worker_rows
from contracts.attempt import (
    AttemptStatus,
    Claim,
    ClaimRequest,
    DatasetFile,
    FinishReply,
    FinishRequest,
    OutputChunk,
    SyncReply,
    SyncRequest,
    SystemSample,
    Wanted,
    WorkerInfo,
)
from contracts.job import DatasetSource, HubDataset, JobStatus, load_stored_spec
from contracts.record import Record
from contracts.wire import ADAPTER_ARTIFACT

IN_COLUMNS = {"seq", "type", "step", "at"}
"""Fields of a record that have columns of their own."""
LARGEST_NUMBER = 2**53
"""Steps, numbers of records and lengths beyond it are no honest ones."""
_NUMBERS = {
    *("seq", "step", "total_steps", "first_step", "last_step", "total", "number"),
    *("resumed_from", "resumed_step"),
}
"""Fields of records that are such numbers."""


def claim_next(session: Session, request: ClaimRequest, settings: Settings) -> Claim | None:
    """Give the worker the best job that fits it; None if there is none, or if the request came late.

    The same claim again gives the same attempt again. What the worker held before is over.
    """
    worker, times = request.worker, Times.of(settings)
    secret = settings.worker_token.get_secret_value()
    if not hear_of(session, worker, times).is_current:
        return None
    repeated = _find_repeated(session, request, secret)
    if repeated is not None:
        token = lease.make_token(secret, repeated.id, request.claim_id)
        held, _ = lease.hold(session, repeated.id, token, times)
        return _claim(session, held.id, jobs.lock_job(session, held.job_id), token, settings)
    now = database_now(session)
    only, without = workers.models_to_take(session, worker, now)
    attempt_id = new_id("att")
    job = queue.claim_best(
        session, worker.queue, attempt_id, now, only_models=only, except_models=without
    )
    if job is None:
        return None
    token = lease.make_token(secret, attempt_id, request.claim_id)
    attempt = Attempt(
        id=attempt_id,
        job_id=job.id,
        number=job.attempt_number,
        status=AttemptStatus.RUNNING,
        token_sha256=lease.hash_token(token),
        worker_id=worker.worker_id,
        worker=to_json(worker),
        slot_id=worker.idle.slot if worker.idle else None,
        slot_turn=worker.idle.turn if worker.idle else None,
        started_at=now,
        synced_at=now,
        lease_expires_at=times.lease_expires_at(now),
        takeover_at=times.takeover_at(now),
        acked_seq=0,
    )
    store.insert_attempt(session, attempt)
    events.insert_event(
        session,
        job.id,
        "attempt_started",
        now,
        attempt=attempt.number,
        number=attempt.number,
        worker=worker.worker_id,
    )
    return _claim(session, attempt.id, job, token, settings)


class Heard(NamedTuple):
    """What a worker's words have done."""

    is_current: bool
    """Whether they did not come late."""
    to_ring: list[str]
    """Queues where a job waits again."""


def hear_of(session: Session, worker: WorkerInfo, times: Times) -> Heard:
    """Note that a worker is there, and end what it says it no longer runs."""
    now = database_now(session)
    worker_rows.save_worker(session, worker, now)
    if worker.idle is None:
        return Heard(is_current=True, to_ring=[])
    if not worker_rows.take_turn(session, worker.worker_id, worker.idle):
        return Heard(is_current=False, to_ring=[])
    queues = []
    for attempt in store.list_running_of(session, worker.worker_id):
        is_past = (
            attempt.slot_id == worker.idle.slot and (attempt.slot_turn or 0) < worker.idle.turn
        )
        if is_past:
            queues.append(_end_past(session, attempt, times, now))
    return Heard(is_current=True, to_ring=[queue for queue in queues if queue is not None])


def sync_attempt(
    session: Session, attempt_id: str, token: str, request: SyncRequest, times: Times
) -> SyncReply:
    """Renew the lease, store what is new, say what is wanted. A repeat stores nothing twice."""
    attempt, now = lease.hold(session, attempt_id, token, times)
    _check_numbers(request.records, request.output, request.samples)
    job = jobs.hold_job(session, attempt.job_id)
    fresh = _store_records(session, attempt, request.records)
    news = progress.read_news(job, attempt, fresh)
    progress.note_phase(job, request.phase, news)
    progress.note_rows(job, request.rows, news)
    if fresh:
        news.attempt = _count_in(session, attempt, fresh, news.attempt)
    if request.output is not None:
        stored_bytes = _store_output(session, attempt, request.output)
        news.attempt = replace(news.attempt, acked_output=stored_bytes)
    progress.read_notes(attempt, request.notes, news)
    attempt = store.update_attempt(session, attempt, news.attempt)
    if request.samples:
        store.insert_samples(session, attempt, request.samples)
    if fresh or request.samples or news.job != JobProgress():
        jobs.update_progress(session, attempt, news.job)
    for code, level, figures in news.events:
        events.insert_event(
            session, job.id, code, now, attempt=attempt.number, level=level, **figures
        )
    checkpoints.note_checkpoints(session, attempt, fresh, now)
    return SyncReply(
        wanted=_wanted(job),
        lease_seconds=times.lease_seconds,
        acked_seq=attempt.acked_seq,
        acked_output=attempt.acked_output,
        acked_note=attempt.acked_note,
    )


def finish_attempt(
    session: Session, attempt_id: str, token: str, request: FinishRequest, times: Times
) -> tuple[FinishReply, str | None]:
    """End the attempt and settle its job; returns the answer, and the queue to ring if the job waits there again.

    A repeat with the same outcome gets the same answer.
    """
    ended = lease.get_ended(session, attempt_id, token)
    if ended.outcome is not None and ended.outcome["status"] == request.outcome.status:
        return FinishReply(job_status=str(ended.settled_as)), None
    attempt, now = lease.hold(session, attempt_id, token, times)
    job = jobs.lock_job(session, attempt.job_id)
    if attempt.acked_seq < request.last_seq:
        raise RecordsMissing(
            "last_seq",
            attempt=attempt_id,
            last_seq=request.last_seq,
            acked_seq=attempt.acked_seq,
        )
    if request.outcome.status == "succeeded":
        _check_success(session, attempt, request)
    content = to_json(request.outcome)
    if store.end_attempt(session, attempt, request.outcome, content, now) is None:
        raise AttemptSuperseded(attempt=attempt_id, status="ended")
    status = settlement.settle_outcome(
        session,
        attempt,
        request.outcome,
        request.summary,
        job=job,
        now=now,
        retry_seconds=times.retry_seconds,
    )
    if (
        request.outcome.status == "succeeded"
        and attempt.first_step is None
        and attempt.resumed_step is not None
    ):
        # It had nothing left to train: its evaluation is the line's last point.
        store.update_attempt(session, attempt, AttemptProgress(first_step=attempt.resumed_step + 1))
    store.note_settlement(session, attempt, status)
    return FinishReply(job_status=status.value), _queue_to_ring(job, status)


def lose_attempt(session: Session, attempt_id: str, times: Times) -> tuple[str, str | None] | None:
    """End an attempt whose takeover time has come and settle its job; None if it spoke after all.

    Returns the job's id, and the queue to ring if it can be claimed again.
    """
    now = database_now(session)
    attempt = store.mark_lost(session, attempt_id, now)
    if attempt is None:
        return None
    job = jobs.lock_job(session, attempt.job_id)
    status = settlement.settle_loss(
        session, attempt, job=job, now=now, retry_seconds=times.retry_seconds
    )
    store.note_settlement(session, attempt, status)
    return job.id, _queue_to_ring(job, status)


def take_earlier(
    session: Session,
    attempt_id: str,
    token: str,
    times: Times,
    *,
    number: int,
    records: list[Record],
) -> int:
    """Store what an earlier attempt of the job could not hand in, and return up to where its records are there now.

    Only its history grows: it has ended, and the job's progress is the running attempt's.
    """
    current, now = lease.hold(session, attempt_id, token, times)
    _check_numbers(records)
    job = jobs.hold_job(session, current.job_id)
    earlier = store.find_earlier(session, job.id, number)
    if earlier is None:
        raise AttemptNotFound(job=job.id, number=number)
    fresh = _store_records(session, earlier, records)
    if not fresh:
        return earlier.acked_seq
    news = progress.read_news(job, earlier, fresh)
    news.attempt = _count_in(session, earlier, fresh, news.attempt)
    earlier = store.update_attempt(session, earlier, news.attempt)
    if news.job.checkpoint_step is not UNCHANGED:
        reached = JobProgress(checkpoint_step=news.job.checkpoint_step)
        jobs.update_progress(session, current, reached)
    for code, level, figures in news.events:
        events.insert_event(
            session, job.id, code, now, attempt=earlier.number, level=level, **figures
        )
    return earlier.acked_seq


def _count_in(
    session: Session, attempt: HeldAttempt, fresh: Sequence[Record], progress: AttemptProgress
) -> AttemptProgress:
    """Fold new records into the attempt's curve, and return the progress with how far it is stored now."""
    acked_seq = store.find_acked_seq(session, attempt, [record.seq for record in fresh])
    return replace(
        progress,
        seen_seq=max(attempt.seen_seq, *(record.seq for record in fresh)),
        acked_seq=acked_seq,
        folded_seq=blocks.fold(session, attempt.id, attempt.folded_seq, acked_seq),
    )


def get_dataset(
    session: Session, attempt_id: str, token: str, dataset_id: str, times: Times
) -> Dataset | None:
    """Return a dataset that the attempt's job names."""
    attempt, _ = lease.hold(session, attempt_id, token, times)
    job = jobs.lock_job(session, attempt.job_id)
    if dataset_id not in {job.train_dataset_id, job.eval_dataset_id}:
        return None
    return datasets.find_dataset(session, dataset_id)


def _claim(session: Session, attempt_id: str, job: Job, token: str, settings: Settings) -> Claim:
    spec = load_stored_spec(job.spec)
    points, earlier = checkpoints.list_resume_points(session, job)
    return Claim(
        attempt_id=attempt_id,
        job_id=job.id,
        number=job.attempt_number,
        submitted_at=job.created_at,
        token=token,
        spec=spec,
        train=_describe(session, spec.dataset.train),
        eval=None if spec.dataset.eval is None else _describe(session, spec.dataset.eval),
        resume=points,
        earlier=earlier,
        sync_seconds=settings.sync_seconds,
        flush_seconds=settings.flush_seconds,
        lease_seconds=settings.lease_seconds,
    )


def _find_repeated(session: Session, request: ClaimRequest, secret: str) -> Attempt | None:
    """Return the attempt that an earlier try of this very claim was given: its token is the one we would give now."""
    if request.claim_id is None:
        return None
    for attempt in store.list_running_of(session, request.worker.worker_id):
        token = lease.make_token(secret, attempt.id, request.claim_id)
        if lease.hash_token(token) == attempt.token_sha256:
            return attempt
    return None


def _end_past(session: Session, attempt: Attempt, times: Times, now: datetime) -> str | None:
    """End an attempt whose worker has come back without it, and return the queue to ring, if any.

    One that was never heard of costs nothing.
    """
    was_heard = attempt.synced_at > attempt.started_at
    status = AttemptStatus.LOST if was_heard else AttemptStatus.INTERRUPTED
    ended = store.mark_over(session, attempt.id, status, now)
    if ended is None:
        return None
    job = jobs.lock_job(session, ended.job_id)
    if was_heard:
        settled = settlement.settle_loss(
            session,
            ended,
            job=job,
            now=now,
            retry_seconds=times.retry_seconds,
            code="attempt_abandoned",
        )
    else:
        settled = settlement.settle_unheard(session, ended, job=job, now=now)
    store.note_settlement(session, ended, settled)
    return _queue_to_ring(job, settled)


def _queue_to_ring(job: Job, status: JobStatus) -> str | None:
    return job.queue if status is JobStatus.QUEUED and job.not_before is None else None


def _wanted(job: HeldJob) -> Wanted:
    if job.cancel_requested_at is not None:
        return Wanted.CANCEL
    return Wanted.CONTINUE if job.pause_requested_at is None else Wanted.PAUSE


def _describe(session: Session, source: DatasetSource) -> DatasetFile | HubDataset:
    if isinstance(source, HubDataset):
        return source
    dataset = datasets.find_dataset(session, source)
    assert dataset is not None  # noqa: S101  # a foreign key holds it while the job has not ended
    return DatasetFile(
        dataset_id=dataset.id, sha256=dataset.sha256, bytes=dataset.bytes, rows=dataset.rows
    )


def _store_records(session: Session, attempt: HeldAttempt, records: list[Record]) -> list[Record]:
    """Store the records that are not there yet, and return those."""
    by_seq = {record.seq: record for record in records}
    if not by_seq:
        return []
    if min(by_seq) > attempt.seen_seq:
        stored: Collection[int] = ()  # nothing so far has come
    else:
        stored = store.list_stored_seqs(session, attempt.id, by_seq.keys())
    fresh = [record for seq, record in sorted(by_seq.items()) if seq not in stored]
    if fresh:
        store.insert_records(session, [_row(attempt.id, record) for record in fresh])
    return fresh


def _row(attempt_id: str, record: Record) -> dict[str, object]:
    # Thousands of them come in a second: the record is written as JSON once, not read and written again.
    return {
        "attempt_id": attempt_id,
        "seq": record.seq,
        "type": record.type[:50].replace("\0", "\ufffd"),
        "step": getattr(record, "step", None),
        "at": record.at,
        "data": WrittenJson(record.model_dump_json(exclude=IN_COLUMNS)),
    }


def _store_output(session: Session, attempt: HeldAttempt, chunk: OutputChunk) -> int:
    """Store what a chunk adds to the output, and return how many bytes of it are there now.

    A chunk behind a gap is left for the worker to send again; of one that begins with what is there, the rest is kept.
    """
    acked = attempt.acked_output
    end = chunk.offset + chunk.bytes
    if chunk.offset > acked or end <= acked:
        return acked
    text = chunk.text.replace("\0", "\ufffd")
    if chunk.offset < acked:
        text = text[store.find_output_length(session, attempt.id, chunk.offset) :]
    added = OutputChunk(offset=acked, bytes=end - acked, text=text, at=chunk.at)
    store.insert_output(session, attempt, added)
    return end


def _check_numbers(
    records: Sequence[Record],
    output: OutputChunk | None = None,
    samples: Sequence[SystemSample] = (),
) -> None:
    numbers = [
        number
        for record in records
        for name, number in vars(record).items()
        if name in _NUMBERS and number is not None
    ]
    numbers += [sample.seq for sample in samples]
    if output is not None:
        numbers += [output.offset, output.bytes]
    if max(numbers, default=0) > LARGEST_NUMBER:
        raise NumberTooLarge("records", field="records", limit=LARGEST_NUMBER)


def _check_success(session: Session, attempt: HeldAttempt, request: FinishRequest) -> None:
    if request.summary is None:
        raise ArtifactsMissing("summary", attempt=attempt.id, missing="summary")
    if artifacts.find_of_attempt(session, attempt.id, ADAPTER_ARTIFACT) is None:
        raise ArtifactsMissing(attempt=attempt.id, missing=ADAPTER_ARTIFACT)
