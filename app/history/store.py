"""SQL of a job's history: events, records, output."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Attempt, Event, Output, Record


def insert_event(
    session: Session,
    job_id: str,
    code: str,
    at: datetime,
    *,
    attempt: int | None = None,
    level: str = "info",
    **data: Any,
) -> None:
    """Note that something happened. The job's row is changed in the same transaction, before this."""
    session.add(Event(job_id=job_id, attempt=attempt, at=at, code=code, level=level, data=data))


def list_events(session: Session, job_id: str, after_id: int, limit: int) -> Sequence[Event]:
    """Return a job's events after one, oldest first."""
    return session.scalars(
        select(Event)
        .where(Event.job_id == job_id, Event.id > after_id)
        .order_by(Event.id)
        .limit(limit)
    ).all()


def list_attempts(session: Session, job_id: str) -> Sequence[Attempt]:
    """Return a job's attempts, first to newest."""
    return session.scalars(
        select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)
    ).all()


def list_metrics(
    session: Session, attempt: Attempt, after_seq: int, before_step: int | None, limit: int | None
) -> Sequence[tuple[int, int, datetime, dict[str, Any]]]:
    """Return (seq, step, at, data) of an attempt's metric records, without the ones behind a gap."""
    query = select(Record.seq, Record.step, Record.at, Record.data).where(
        Record.attempt_id == attempt.id,
        Record.type == "metric",
        Record.seq > after_seq,
        Record.seq <= attempt.acked_seq,
    )
    if before_step is not None:
        query = query.where(Record.step < before_step)
    rows = session.execute(query.order_by(Record.seq).limit(limit)).all()
    return [(seq, step or 0, at, data) for seq, step, at, data in rows]


def list_logs(
    session: Session, attempt: Attempt, after_seq: int, limit: int | None
) -> Sequence[Record]:
    """Return an attempt's log records after one, without the ones behind a gap."""
    return session.scalars(
        select(Record)
        .where(
            Record.attempt_id == attempt.id,
            Record.type == "log",
            Record.seq > after_seq,
            Record.seq <= attempt.acked_seq,
        )
        .order_by(Record.seq)
        .limit(limit)
    ).all()


def list_output(
    session: Session, attempt_id: str, from_offset: int, limit: int | None
) -> Sequence[Output]:
    """Return an attempt's pieces of output from an offset on."""
    return session.scalars(
        select(Output)
        .where(Output.attempt_id == attempt_id, Output.offset >= from_offset)
        .order_by(Output.offset)
        .limit(limit)
    ).all()
