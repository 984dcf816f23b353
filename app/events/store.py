"""SQL for events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.tables import Event


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
    """Insert an event. The caller must have updated the job's row in the same transaction."""
    session.add(Event(job_id=job_id, attempt=attempt, at=at, code=code, level=level, data=data))


def list_events(session: Session, job_id: str, after_id: int, limit: int) -> Sequence[Event]:
    """Return at most `limit` of a job's events after the event `after_id`, oldest first."""
    return session.scalars(
        select(Event)
        .where(Event.job_id == job_id, Event.id > after_id)
        .order_by(Event.id)
        .limit(limit)
    ).all()


def find_last_event(session: Session, job_id: str) -> int:
    """Return the id of a job's newest event; 0 if there is none."""
    return session.scalar(select(func.max(Event.id)).where(Event.job_id == job_id)) or 0
