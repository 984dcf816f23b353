"""Idempotency keys: repeated POST requests with the same key create only one job."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.db.sql import insert_missing
from app.db.tables import IdempotencyKey
from app.errors.kinds import IdempotencyConflict
from app.jobs.schemas import StoredAnswer

KEPT = timedelta(hours=24)


def reserve_key(session: Session, key: str, fingerprint: str, now: datetime) -> StoredAnswer | None:
    """Reserve a key for the current transaction, or return the response stored under it.

    Raises IdempotencyConflict if the stored response was for a different body. Concurrent requests with the same key
    wait until this transaction ends.
    """
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.key == key, IdempotencyKey.created_at <= now - KEPT
        )
    )
    row = {"key": key, "fingerprint": fingerprint, "answer": {}, "created_at": now}
    if insert_missing(session, IdempotencyKey, [row]):
        return None
    stored = session.scalars(select(IdempotencyKey).where(IdempotencyKey.key == key)).one()
    if stored.fingerprint != fingerprint:
        raise IdempotencyConflict("Idempotency-Key", job=stored.answer.get("id", "?"))
    return stored.answer


def keep_answer(session: Session, key: str, answer: StoredAnswer) -> None:
    """Store the response under a reserved key."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.key == key)
        .values(answer=answer)
        .execution_options(synchronize_session=False)
    )


def forget_old_keys(session: Session, now: datetime) -> None:
    """Delete expired keys."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at <= now - KEPT))
