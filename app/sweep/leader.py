"""Leader election: only one server process at a time performs a task. A row stores when it was last done."""

from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.db.sql import insert_missing
from app.db.tables import Leader


def lead(
    session: Session, task: str, holder: str, now: datetime, term_seconds: float
) -> float | None:
    """Become or remain the leader for a term. Return None if another process is the leader.

    Otherwise, return the seconds since the task was last done, or infinity if it never was.
    """
    expires_at = now + timedelta(seconds=term_seconds)
    row = {"task": task, "holder": holder, "beat_at": now, "expires_at": expires_at}
    if insert_missing(session, Leader, [row]):
        return float("inf")
    before = session.scalars(select(Leader).where(Leader.task == task).with_for_update()).one()
    silent_seconds = (now - before.beat_at).total_seconds()
    taken = session.execute(
        update(Leader)
        .where(Leader.task == task, or_(Leader.holder == holder, Leader.expires_at <= now))
        .values(holder=holder, beat_at=now, expires_at=expires_at)
        .returning(Leader.task)
        .execution_options(synchronize_session=False)
    ).first()
    return None if taken is None else silent_seconds
