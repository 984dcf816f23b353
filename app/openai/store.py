"""SQL that only OpenAI's API needs: for the files of jobs, for finished jobs, and for events in newest-first order."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, exists, or_, select
from sqlalchemy.orm import Session, defer

from app.db.openai_tables import FineTune
from app.db.tables import Artifact, Attempt, Event, Job, Record
from app.series.line import Piece
from contracts.job import JobStatus
from contracts.protocol.wire import ADAPTER_ARTIFACT


def insert_fine_tune(session: Session, fine_tune: FineTune) -> None:
    """Store the files named in the request that created a job."""
    session.add(fine_tune)
    session.flush()


def find_fine_tunes(session: Session, job_ids: Collection[str]) -> dict[str, FineTune]:
    """Return the files of jobs that OpenAI clients created, by job id."""
    rows = session.scalars(select(FineTune).where(FineTune.job_id.in_(job_ids)))
    return {row.job_id: row for row in rows}


def find_trained_tokens(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the number of supervised tokens of each finished job."""
    tokens = Job.summary["supervised_tokens"].as_integer()
    rows = session.execute(select(Job.id, tokens).where(Job.id.in_(job_ids)))
    return {job_id: count for job_id, count in rows if count is not None}


class Step(NamedTuple):
    """A training step of an attempt."""

    attempt: int
    seq: int
    step: int
    at: datetime
    """See time_within."""
    values: Mapping[str, Any]


def time_within(attempt: Attempt, at: datetime) -> datetime:
    """Return a time of a worker's clock, limited to the duration of its attempt on the database's clock.

    If the clocks of two workers differ, the steps of their attempts are still in the order of the attempts.
    """
    latest = at if attempt.ended_at is None else min(at, attempt.ended_at)
    return max(latest, attempt.started_at)


def list_steps(
    session: Session, piece: Piece, limit: int, *, below: int | None, until: datetime | None
) -> list[Step]:
    """Return at most `limit` of an attempt's steps on the line, newest first: those below a sequence number, or until a time."""
    attempt = piece.attempt
    if until is not None and until < attempt.started_at:
        return []
    query = select(Record.seq, Record.step, Record.at, Record.data).where(
        Record.attempt_id == attempt.id,
        Record.type == "metric",
        Record.seq <= attempt.acked_seq if below is None else Record.seq < below,
    )
    if piece.before is not None:
        query = query.where(Record.step < piece.before)
    if until is not None and (attempt.ended_at is None or until < attempt.ended_at):
        query = query.where(Record.at <= until)
    rows = session.execute(query.order_by(Record.seq.desc()).limit(limit))
    return [
        Step(attempt.number, seq, step or 0, time_within(attempt, at), data.get("values") or {})
        for seq, step, at, data in rows
    ]


def find_evaluations(
    session: Session, attempt_id: str, steps: Collection[int]
) -> dict[int, dict[str, Any]]:
    """Return the newest evaluation of an attempt at each of these steps."""
    rows = session.execute(
        select(Record.step, Record.data)
        .where(Record.attempt_id == attempt_id, Record.type == "eval", Record.step.in_(steps))
        .order_by(Record.seq)
    )
    return {step: data for step, data in rows if step is not None}


def find_values_at_checkpoint(session: Session, attempt_id: str, step: int) -> dict[str, Any]:
    """Return the values of the training step before an attempt's checkpoint; empty if they are unknown."""
    of_attempt = Record.attempt_id == attempt_id
    seq = session.scalar(
        select(Record.seq)
        .where(of_attempt, Record.type == "checkpoint", Record.step == step)
        .limit(1)
    )
    if seq is None:
        return {}
    row = session.execute(
        select(Record.step, Record.data)
        .where(of_attempt, Record.type == "metric", Record.seq < seq)
        .order_by(Record.seq.desc())
        .limit(1)
    ).one_or_none()
    return row.data.get("values") or {} if row is not None and row.step == step else {}


def find_step_time(session: Session, attempt_id: str, seq: int) -> datetime | None:
    """Return the time of a training step, or None."""
    return session.scalar(
        select(Record.at).where(
            Record.attempt_id == attempt_id, Record.seq == seq, Record.type == "metric"
        )
    )


def list_events(
    session: Session, job_id: str, limit: int, *, before: tuple[datetime, int] | None
) -> Sequence[Event]:
    """Return at most `limit` of a job's events, newest first, that are older than a time and an id."""
    query = select(Event).where(Event.job_id == job_id)
    if before is not None:
        at, number = before
        query = query.where(or_(Event.at < at, and_(Event.at == at, Event.id < number)))
    return session.scalars(query.order_by(Event.at.desc(), Event.id.desc()).limit(limit)).all()


def find_event(session: Session, job_id: str, number: int) -> Event | None:
    """Return an event of a job, or None."""
    query = select(Event).where(Event.job_id == job_id, Event.id == number)
    return session.scalars(query).one_or_none()


def find_creation(session: Session, job_id: str) -> Event | None:
    """Return the event of a job's creation, or None."""
    query = select(Event).where(Event.job_id == job_id, Event.code == "job_created")
    return session.scalars(query.order_by(Event.id).limit(1)).one_or_none()


def find_tuned(session: Session, digits: str) -> Sequence[Job]:
    """Return the jobs with an adapter whose ids begin with these digits, at most 100."""
    first, last = f"job_{digits}", f"job_{digits}{'f' * 24}"
    query = _tuned().where(Job.id >= first, Job.id <= last)
    return session.scalars(query.limit(100)).all()


def list_tuned(session: Session, limit: int) -> Sequence[Job]:
    """Return the jobs with an adapter that are not archived, newest first."""
    query = _tuned().where(Job.archived.is_(False))
    return session.scalars(
        query.order_by(Job.created_at.desc(), Job.number.desc()).limit(limit)
    ).all()


def _tuned() -> Select[Job]:
    has_adapter = exists().where(
        Attempt.job_id == Job.id,
        Artifact.attempt_id == Attempt.id,
        Artifact.name == ADAPTER_ARTIFACT,
    )
    query = select(Job).where(Job.status == JobStatus.SUCCEEDED, has_adapter)
    return query.options(defer(Job.summary))
