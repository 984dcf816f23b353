"""SQL for the traces of running jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from app.db.tables import Base, Job, JobTrace, Sample

_TRACES = Base.metadata.tables[JobTrace.__tablename__]
_SAMPLES = Base.metadata.tables[Sample.__tablename__]
_COLUMNS = ("trace", "attempt", "stepped_at")
# Built once for speed, because syncs run them.
_FIND = select(*[_TRACES.c[name] for name in _COLUMNS]).where(_TRACES.c.job_id == bindparam("job"))
_INSERT = insert(_TRACES)
_UPDATE = (
    update(_TRACES)
    .where(_TRACES.c.job_id == bindparam("job"))
    .values({name: bindparam(name) for name in _COLUMNS})
)
_NEWEST_SAMPLES = (
    select(_SAMPLES.c.data)
    .where(_SAMPLES.c.attempt_id == bindparam("attempt"), _SAMPLES.c.step.is_not(None))
    .order_by(_SAMPLES.c.seq.desc())
    .limit(bindparam("count"))
)


class StoredTrace(NamedTuple):
    """A row of job_traces without its key."""

    trace: bytes
    attempt: int
    stepped_at: datetime | None


def find_trace(session: Session, job_id: str) -> StoredTrace | None:
    """Return a job's trace, or None. The caller must have locked the job's row."""
    row = session.execute(_FIND, {"job": job_id}).one_or_none()
    return None if row is None else StoredTrace._make(row)


def insert_trace(session: Session, job_id: str, trace: StoredTrace) -> None:
    """Store a job's first trace."""
    session.execute(_INSERT, {"job_id": job_id} | trace._asdict())


def update_trace(session: Session, job_id: str, trace: StoredTrace) -> None:
    """Replace a job's trace."""
    session.execute(_UPDATE, {"job": job_id} | trace._asdict())


def find_spec(session: Session, job_id: str) -> dict[str, Any]:
    """Return an existing job's stored spec."""
    spec: dict[str, Any] = session.execute(select(Job.spec).where(Job.id == job_id)).scalar_one()
    return spec


def list_newest_samples(
    session: Session, attempt_id: str, count: int
) -> Sequence[dict[str, float]]:
    """Return the values of at most `count` samples taken since the first step, oldest first."""
    rows = session.execute(_NEWEST_SAMPLES, {"attempt": attempt_id, "count": count})
    return [data for (data,) in rows][::-1]
