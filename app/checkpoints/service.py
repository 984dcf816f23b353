"""Rules for checkpoints: which to list, which files workers may upload, and which checkpoint the next attempt may resume from.

A checkpoint counts as stored once its row has a `stored_at`. Each of its files then has a row and is complete on disk.
"""

import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial

from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.checkpoints import retention, store
from app.db.engine import Database
from app.db.ids import new_id
from app.db.tables import Checkpoint, CheckpointBlob, Job, to_json
from app.errors.kinds import CheckpointFileNotFound, CheckpointNotRecorded, NumberTooLarge
from app.events import store as events
from app.jobs import service as jobs
from app.jobs import store as job_rows
from app.leases import lease
from app.leases import store as leases
from app.leases.lease import Times
from app.leases.store import HeldAttempt
from app.series import line
from app.storage.data_dir import Storage
from app.storage.uploads import ReceivedFile, receive
from contracts.attempt import EarlierAttempt
from contracts.checkpoint import CheckpointOffer, CheckpointReply, ResumePoint
from contracts.record import CheckpointRecord, Record

LARGEST_BYTES = 2**53


class CheckpointView(BaseModel):
    """A checkpoint as users see it."""

    id: str
    attempt: int
    step: int
    name: str
    eval_loss: float | None
    """Evaluation loss at exactly this step."""
    bytes: int
    created_at: datetime
    stored: bool
    """True if it is in the server's storage, where any worker can resume from it; false if it is only on a worker's
    disk."""
    best: bool
    """Whether it has the lowest evaluation loss in the list."""


def list_checkpoints(session: Session, job_id: str) -> list[CheckpointView]:
    """Return the checkpoints that a job keeps, newest first. Raises JobNotFound."""
    jobs.require_job(session, job_id)
    rows = store.list_of_job(session, job_id)
    best = retention.find_best([checkpoint for checkpoint, _ in rows])
    return [
        CheckpointView(
            id=checkpoint.id,
            attempt=number,
            step=checkpoint.step,
            name=checkpoint.name,
            eval_loss=checkpoint.eval_loss,
            bytes=checkpoint.bytes,
            created_at=checkpoint.created_at,
            stored=checkpoint.stored_at is not None,
            best=checkpoint is best,
        )
        for checkpoint, number in rows
    ]


def list_resume_points(
    session: Session, job: Job
) -> tuple[list[ResumePoint], list[EarlierAttempt]]:
    """Return the checkpoints that the newest attempt may resume from, and the earlier attempts, both newest first.

    Checkpoints at steps that a later attempt has replaced are omitted. The new attempt therefore either extends the
    history or replaces it from a single step onwards.
    """
    attempts = [a for a in leases.list_attempts(session, job.id) if a.number < job.attempt_number]
    earlier = [
        EarlierAttempt(
            attempt_id=attempt.id,
            number=attempt.number,
            acked_seq=attempt.acked_seq,
            usable_to_step=usable,
        )
        for attempt, usable in line.usable_steps(attempts)
    ][::-1]
    limits = {known.number: known.usable_to_step for known in earlier}
    points = []
    for checkpoint, number in store.list_of_job(session, job.id):
        if checkpoint.stored_at is None or number not in limits:
            continue
        limit = limits[number]
        if limit is not None and checkpoint.step > limit:
            continue
        content = {
            "checkpoint_id": checkpoint.id,
            "attempt": number,
            "step": checkpoint.step,
            "files": checkpoint.files,
            "origin": checkpoint.origin or {},
        }
        points.append(ResumePoint.model_validate(content))
    return points, earlier


def note_checkpoints(
    session: Session, attempt: HeldAttempt, records: Sequence[Record], now: datetime
) -> None:
    """Store a row for each checkpoint in newly stored records. The files are still only on the worker's disk."""
    reported = [record for record in records if isinstance(record, CheckpointRecord)]
    for record in reported:
        _insert(session, attempt, now, step=record.step, name=record.name, size_bytes=record.bytes)
    if reported:
        job = job_rows.lock_job(session, attempt.job_id)
        retention.prune(session, job, attempt)  # the sweep deletes the files


def offer_checkpoint(
    session: Session, attempt_id: str, token: str, offer: CheckpointOffer, times: Times
) -> tuple[CheckpointReply, list[str]]:
    """Return the missing files, and paths to delete after the commit. If none is missing, mark it as stored.

    Raises CheckpointNotRecorded until the checkpoint's record has arrived. A stored checkpoint is thus never ahead of
    the history.
    """
    attempt, now = lease.hold(session, attempt_id, token, times)
    if max(offer.step, *(file.bytes for file in offer.files)) > LARGEST_BYTES:
        raise NumberTooLarge("files", field="files", limit=LARGEST_BYTES)
    job = job_rows.lock_job(session, attempt.job_id)
    if not store.is_recorded(session, attempt, offer.step):
        raise CheckpointNotRecorded(attempt=attempt_id, step=offer.step)
    total_bytes = sum(file.bytes for file in offer.files)
    checkpoint = store.find_of_attempt(session, attempt.id, offer.step) or _insert(
        session, attempt, now, step=offer.step, name=offer.name, size_bytes=total_bytes
    )
    if checkpoint.stored_at is not None:
        return CheckpointReply(missing=[], stored=True), []
    checkpoint.files = [to_json(file) for file in offer.files]
    checkpoint.origin = to_json(offer.origin)
    checkpoint.bytes = total_bytes
    if (
        checkpoint.eval_loss is None
        and offer.eval_loss is not None
        and math.isfinite(offer.eval_loss)
    ):
        checkpoint.eval_loss = offer.eval_loss  # an earlier attempt may have evaluated it
    held = {blob.sha256: blob.bytes for blob in store.list_blobs(session, job.id)}
    missing = [file.sha256 for file in offer.files if held.get(file.sha256) != file.bytes]
    if missing:
        session.flush()
        return CheckpointReply(missing=missing, stored=False), []
    checkpoint.stored_at = now
    session.flush()
    events.insert_event(
        session,
        job.id,
        "checkpoint_stored",
        now,
        attempt=attempt.number,
        step=offer.step,
        bytes=total_bytes,
    )
    return CheckpointReply(missing=[], stored=True), retention.prune(session, job, attempt)


async def receive_file(
    database: Database,
    storage: Storage,
    times: Times,
    *,
    attempt_id: str,
    token: str,
    sha256: str,
    body: AsyncIterator[bytes],
) -> bool:
    """Receive a file of an offered checkpoint. Return False, without reading the body, if it is already stored.

    Raises CheckpointFileNotFound if the attempt has not offered the file, ChecksumMismatch, or a lease error.
    """
    job_id = await run_in_threadpool(_begin, database, times, attempt_id, token, sha256)
    if job_id is None:
        return False
    await receive(
        storage,
        body,
        sha256=sha256,
        path=storage.checkpoint_blob(job_id, sha256),
        commit=partial(_commit, database, times, attempt_id=attempt_id, token=token),
    )
    return True


def get_file(
    session: Session, attempt_id: str, token: str, sha256: str, times: Times
) -> CheckpointBlob:
    """Return a checkpoint file of the attempt's job. Raises CheckpointFileNotFound."""
    attempt, _ = lease.hold(session, attempt_id, token, times)
    blob = store.find_blob(session, attempt.job_id, sha256[:64])
    if blob is None:
        raise CheckpointFileNotFound(sha256=sha256[:64])
    return blob


def _begin(
    database: Database, times: Times, attempt_id: str, token: str, sha256: str
) -> str | None:
    """Return the id of the job that needs the file, or None if the file is already stored.

    Raises CheckpointFileNotFound if the attempt has not offered the file.
    """
    with database.writing() as session:
        attempt, _ = lease.hold(session, attempt_id, token, times)
        offered = [
            file
            for checkpoint, _ in store.list_of_job(session, attempt.job_id)
            if checkpoint.attempt_id == attempt.id and checkpoint.stored_at is None
            for file in retention.files_of(checkpoint)
            if file.sha256 == sha256
        ]
        if not offered:
            raise CheckpointFileNotFound(sha256=sha256[:64])
        held = store.find_blob(session, attempt.job_id, sha256)
        return None if held is not None and held.bytes == offered[0].bytes else attempt.job_id


def _commit(
    database: Database, times: Times, file: ReceivedFile, *, attempt_id: str, token: str
) -> str | None:
    """Store the file's row if the attempt still holds its lease. Return the path of the replaced file, if any."""
    with database.writing() as session:
        attempt, now = lease.hold(session, attempt_id, token, times)
        job_rows.lock_job(session, attempt.job_id)
        before = store.find_blob(session, attempt.job_id, file.sha256)
        replaced = None if before is None else before.path
        if before is not None:
            session.expunge(before)
        blob = CheckpointBlob(
            job_id=attempt.job_id,
            sha256=file.sha256,
            bytes=file.bytes,
            path=file.path,
            created_at=now,
        )
        store.save_blob(session, blob)
        return replaced


def _insert(
    session: Session, attempt: HeldAttempt, now: datetime, *, step: int, name: str, size_bytes: int
) -> Checkpoint:
    found = store.find_of_attempt(session, attempt.id, step)
    if found is not None:
        return found
    checkpoint = Checkpoint(
        id=new_id("ckpt"),
        job_id=attempt.job_id,
        attempt_id=attempt.id,
        step=step,
        name=name.replace("\0", "\ufffd")[:100],
        bytes=max(0, min(size_bytes, LARGEST_BYTES)),
        eval_loss=store.find_eval_loss(session, attempt.id, step),
        created_at=now,
    )
    store.insert_checkpoint(session, checkpoint)
    return checkpoint
