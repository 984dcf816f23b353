"""SQL for a job's logs: log records and output."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Attempt, Output, Record


def list_logs(
    session: Session, attempt: Attempt, after_seq: int, limit: int | None
) -> Sequence[Record]:
    """Return at most `limit` acknowledged log records of an attempt after `after_seq`."""
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
    """Return at most `limit` chunks of an attempt's output from `from_offset`."""
    return session.scalars(
        select(Output)
        .where(Output.attempt_id == attempt_id, Output.offset >= from_offset)
        .order_by(Output.offset)
        .limit(limit)
    ).all()
