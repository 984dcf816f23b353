"""SQL of a job's logs: log records and output."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Attempt, Output, Record


def list_logs(
    session: Session, attempt: Attempt, after_seq: int, limit: int | None
) -> Sequence[Record]:
    """Return an attempt's acknowledged log records after a seq, at most `limit`."""
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
    """Return an attempt's chunks of output from an offset on, at most `limit`."""
    return session.scalars(
        select(Output)
        .where(Output.attempt_id == attempt_id, Output.offset >= from_offset)
        .order_by(Output.offset)
        .limit(limit)
    ).all()
