"""SQL for leases. Worker writes begin with hold_attempt, an UPDATE that checks the token and renews the lease."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from app.db.sql import moment
from app.db.tables import Attempt, Base
from contracts.attempt import AttemptStatus


class HeldAttempt(NamedTuple):
    """An attempt whose row is locked until the transaction ends.

    A plain row, because creating an ORM object takes longer than the statement itself.
    """

    id: str
    job_id: str
    number: int
    worker_id: str
    gpus: int
    synced_at: datetime
    seen_seq: int
    acked_seq: int
    folded_seq: int
    acked_output: int
    acked_note: int
    judged_seq: int
    judged_at: datetime | None
    first_step: int | None
    last_step: int | None
    resumed_from: int | None
    resumed_step: int | None


# For speed, the statements used by syncs are also built only once and use plain tables.
ATTEMPTS = Base.metadata.tables[Attempt.__tablename__]


HELD = [ATTEMPTS.c[name] for name in HeldAttempt._fields]


_HOLD = (
    update(ATTEMPTS)
    .where(
        ATTEMPTS.c.id == bindparam("attempt"),
        ATTEMPTS.c.token_sha256 == bindparam("token"),
        ATTEMPTS.c.status == AttemptStatus.RUNNING,
    )
    .values(
        synced_at=moment(0.0),
        lease_expires_at=moment(bindparam("lease_seconds")),
        takeover_at=moment(bindparam("takeover_seconds")),
    )
    .returning(*HELD)
)


def find_attempt(session: Session, attempt_id: str, token_sha256: str) -> Attempt | None:
    """Re-read the attempt from the database; return None if the token does not belong to it."""
    return session.scalars(
        select(Attempt)
        .where(Attempt.id == attempt_id, Attempt.token_sha256 == token_sha256)
        .execution_options(populate_existing=True)
    ).one_or_none()


def hold_attempt(
    session: Session,
    attempt_id: str,
    token_sha256: str,
    *,
    lease_seconds: float,
    takeover_seconds: float,
) -> HeldAttempt | None:
    """Renew the lease and return the locked attempt; None if it is not running or the token does not belong to it."""
    parameters = {
        "attempt": attempt_id,
        "token": token_sha256,
        "lease_seconds": lease_seconds,
        "takeover_seconds": takeover_seconds,
    }
    row = session.execute(_HOLD, parameters).one_or_none()
    return None if row is None else HeldAttempt._make(row)


# Every poll runs this query, which takes longer to build than to run.
_ATTEMPTS_OF_JOB = (
    select(Attempt).where(Attempt.job_id == bindparam("job")).order_by(Attempt.number)
)


def list_attempts(session: Session, job_id: str) -> Sequence[Attempt]:
    """Return a job's attempts, oldest first."""
    return session.scalars(_ATTEMPTS_OF_JOB, {"job": job_id}).all()
