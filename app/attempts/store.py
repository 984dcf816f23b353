"""SQL for attempts. Before each write by a worker, `app.leases.store.hold_attempt` checks the token and renews the lease."""

import functools
import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Update, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from app.attempts.progress import AttemptProgress
from app.db.openai_tables import FineTune
from app.db.sql import insert_many, insert_missing, written_out
from app.db.tables import Attempt, Base, Output, Record, Sample
from app.leases.store import ATTEMPTS, HELD, HeldAttempt
from app.series.blocks import LONGEST_NAME, SYSTEM
from contracts.attempt import AttemptStatus, Outcome, OutputChunk, SystemSample
from contracts.job import JobStatus
from contracts.wandb import WandbSettings


class _Columns(TypedDict, total=False):
    status: AttemptStatus
    ended_at: datetime
    outcome: dict[str, Any]
    settled_as: JobStatus


_RECORDS = Base.metadata.tables[Record.__tablename__]


def insert_attempt(session: Session, attempt: Attempt) -> None:
    """Store a new attempt."""
    session.add(attempt)
    session.flush()


def find_wandb(session: Session, job_id: str) -> WandbSettings | None:
    """Return where the metrics of a job are mirrored, or None."""
    stored = session.scalar(select(FineTune.wandb).where(FineTune.job_id == job_id))
    return None if stored is None else WandbSettings.model_validate(stored)


def end_attempt(
    session: Session, attempt: HeldAttempt, outcome: Outcome, content: dict[str, Any], now: datetime
) -> HeldAttempt | None:
    """Set a running attempt's status according to its outcome. Return None if it is not running."""
    return _change(
        session,
        (Attempt.id == attempt.id, Attempt.status == AttemptStatus.RUNNING),
        status=AttemptStatus(outcome.status),
        ended_at=now,
        outcome=content,
    )


def mark_lost(session: Session, attempt_id: str, now: datetime) -> HeldAttempt | None:
    """Mark a running attempt as lost. Return None if it has ended or its takeover time has not passed."""
    return _change(
        session,
        (
            Attempt.id == attempt_id,
            Attempt.status == AttemptStatus.RUNNING,
            Attempt.takeover_at <= now,
        ),
        status=AttemptStatus.LOST,
        ended_at=now,
    )


def mark_ended(
    session: Session, attempt_id: str, status: AttemptStatus, now: datetime
) -> HeldAttempt | None:
    """Mark an attempt that its worker no longer runs as lost or interrupted. Return None if it has already ended."""
    return _change(
        session,
        (Attempt.id == attempt_id, Attempt.status == AttemptStatus.RUNNING),
        status=status,
        ended_at=now,
    )


def list_running_of(session: Session, worker_id: str) -> Sequence[Attempt]:
    """Return a worker's running attempts, oldest first. There is more than one only if the worker was unreachable."""
    return session.scalars(
        select(Attempt)
        .where(Attempt.worker_id == worker_id, written_out(Attempt.status, AttemptStatus.RUNNING))
        .order_by(Attempt.started_at)
        .execution_options(populate_existing=True)
    ).all()


def find_earlier(session: Session, job_id: str, number: int) -> HeldAttempt | None:
    """Return the job's ended attempt with this number, locked until the transaction ends, or None."""
    row = session.execute(
        select(*HELD)
        .where(
            ATTEMPTS.c.job_id == job_id,
            ATTEMPTS.c.number == number,
            ATTEMPTS.c.status != AttemptStatus.RUNNING,
        )
        .with_for_update()
    ).one_or_none()
    return None if row is None else HeldAttempt._make(row)


def note_settlement(session: Session, attempt: HeldAttempt, status: JobStatus) -> None:
    """Store the job's status at the end of the attempt, for replies to repeated finish requests."""
    _change(session, (Attempt.id == attempt.id,), settled_as=status)


def list_silent(session: Session, now: datetime) -> Sequence[str]:
    """Return the ids of running attempts whose takeover time has passed."""
    return session.scalars(
        select(Attempt.id)
        .where(written_out(Attempt.status, AttemptStatus.RUNNING), Attempt.takeover_at <= now)
        .order_by(Attempt.takeover_at)
    ).all()


def extend_all(session: Session, takeover_at: datetime) -> None:
    """Move the takeover time of every running attempt to `takeover_at`, unless it is already later."""
    session.execute(
        update(Attempt)
        .where(
            written_out(Attempt.status, AttemptStatus.RUNNING), Attempt.takeover_at < takeover_at
        )
        .values(takeover_at=takeover_at)
        .execution_options(synchronize_session=False)
    )


def list_stored_seqs(session: Session, attempt_id: str, seqs: Collection[int]) -> Collection[int]:
    """Return the `seq` of each stored record between the smallest and the largest of `seqs`."""
    return set(
        session.scalars(
            select(Record.seq).where(
                Record.attempt_id == attempt_id, Record.seq.between(min(seqs), max(seqs))
            )
        )
    )


def insert_records(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Store new records. The attempt's row is locked, so no other request can store them at the same time."""
    insert_many(session, _RECORDS, rows)


def find_acked_seq(session: Session, attempt: HeldAttempt, fresh: Sequence[int]) -> int:
    """Return the last `seq` before the first gap in the attempt's records. `fresh` are the records just stored."""
    acked: int = attempt.acked_seq
    if attempt.seen_seq == acked and fresh == list(range(acked + 1, acked + 1 + len(fresh))):
        return acked + len(fresh)  # the usual case needs no query
    later = session.scalars(
        select(Record.seq)
        .where(Record.attempt_id == attempt.id, Record.seq > acked)
        .order_by(Record.seq)
    )
    for seq in later:
        if seq != acked + 1:
            break
        acked = seq
    return acked


def find_output_length(session: Session, attempt_id: str, from_offset: int) -> int:
    """Return the number of output characters stored from byte `from_offset` onwards."""
    length: int | None = session.scalar(
        select(func.sum(func.length(Output.text))).where(
            Output.attempt_id == attempt_id, Output.offset >= from_offset
        )
    )
    return length or 0


def insert_output(session: Session, attempt: HeldAttempt, chunk: OutputChunk) -> None:
    """Store a chunk that begins where the stored output ends."""
    session.execute(
        insert(Output).values(
            attempt_id=attempt.id,
            offset=chunk.offset,
            bytes=chunk.bytes,
            at=chunk.at,
            text=chunk.text,
        )
    )


def insert_samples(session: Session, attempt: HeldAttempt, samples: Sequence[SystemSample]) -> None:
    """Store new samples under the attempt's latest step."""
    rows = [
        {
            "attempt_id": attempt.id,
            "seq": sample.seq,
            "step": attempt.last_step,
            "at": sample.at,
            "data": chosen,
        }
        for sample in samples
        if (chosen := _finite_system_values(sample.values))
    ]
    insert_missing(session, Sample, rows)


def _finite_system_values(values: dict[str, float]) -> dict[str, float]:
    return {
        name: value
        for name, value in values.items()
        if name.startswith(SYSTEM) and len(name) <= LONGEST_NAME and math.isfinite(value)
    }


def update_attempt(
    session: Session, attempt: HeldAttempt, progress: AttemptProgress
) -> HeldAttempt:
    """Write the changed columns, if any, and return the updated attempt."""
    columns = progress.columns()
    if not columns:
        return attempt
    session.execute(_progress(tuple(columns)), {"attempt": attempt.id} | columns)
    return attempt._replace(**columns)


@functools.cache
def _progress(names: tuple[str, ...]) -> Update:
    return (
        update(ATTEMPTS)
        .where(ATTEMPTS.c.id == bindparam("attempt"))
        .values({name: bindparam(name) for name in names})
    )


def _change(
    session: Session, where: Sequence[ColumnElement[bool]], **values: Unpack[_Columns]
) -> HeldAttempt | None:
    changed = update(ATTEMPTS).where(*where).values(**values).returning(*HELD)
    row = session.execute(changed).one_or_none()
    return None if row is None else HeldAttempt._make(row)
