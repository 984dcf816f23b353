"""Retried creates: OpenAI's client sends no idempotency key, but numbers the retries of a request. They create one job.

Each request with the number 0 gets a row before its job exists. A retry uses the row of an earlier request with the same
body and the same key from the same peer. Whichever of them locks the row first creates the job; the others return it.

If a retry arrives before its first request, it gets the row, with a negative number. A first request within the next seconds takes
this row, so the two still create one job. The seconds are few, because a first request may also be another call.
"""

import hashlib
import time
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.db.openai_tables import CreateRequest
from app.edge.peers import peer_of
from app.http.headers.retry_number import RetryNumberDep

KEPT = timedelta(minutes=15)
"""How long after a request its retries are recognised. OpenAI's client waits 10 minutes for a response by default."""
OVERTAKEN = timedelta(seconds=2)
"""How long after a retry its first request may arrive."""
_PLAIN = {"synchronize_session": False}


class Submission(NamedTuple):
    """A request of a client that numbers its retries."""

    digest: str
    """SHA-256 of the peer, its key and the body, in hexadecimal."""
    retry: int
    """0 for a first request."""
    arrived: float | None = None
    """When the request arrived, on this process's monotonic clock, in seconds; None if that does not matter."""


class Noted(NamedTuple):
    """A request that has a row."""

    number: int
    job_id: str | None
    """The job that an earlier request has created."""


async def read_submission(request: Request, retry: RetryNumberDep = None) -> Submission | None:
    """Return the request as its retries are recognised, or None if the client does not number them."""
    if retry is None:
        return None
    arrived = time.monotonic()
    # Two users behind one address differ in their keys. Only their hash is stored.
    digest = hashlib.sha256(f"{peer_of(request.client)}\n".encode())
    digest.update(hashlib.sha256(request.headers.get("authorization", "").encode()).digest())
    digest.update(await request.body())
    return Submission(digest.hexdigest(), retry, arrived)


SubmissionDep = Annotated[Submission | None, Depends(read_submission)]


def note_request(session: Session, submission: Submission, now: datetime) -> Noted:
    """Store a first request, or find the request that this one retries: the newest one without such a retry.

    Two deliberate requests with the same body thus keep their own retries apart. If all have been retried as often, this
    retry has been overtaken by a later one, and belongs to the newest request. A first request takes the row of a retry that has
    overtaken it.
    """
    digest, retry, arrived = submission
    if session.get_bind().dialect.name == "postgresql":
        # Equal requests take turns, so that each finds the row of the other. On SQLite, all writers take turns.
        session.execute(select(func.pg_advisory_xact_lock(int(digest[:15], 16))))
    rows = select(CreateRequest.number, CreateRequest.retry).where(CreateRequest.digest == digest)
    if retry:
        latest = func.abs(CreateRequest.retry)
        earlier = rows.where(CreateRequest.seen_at > now - KEPT).order_by(
            (latest < retry).desc(), CreateRequest.number.desc()
        )
    else:
        # The time for which this request has waited for the database does not count.
        waited = timedelta(seconds=0 if arrived is None else time.monotonic() - arrived)
        has_overtaken = CreateRequest.retry < 0, CreateRequest.seen_at > now - waited - OVERTAKEN
        earlier = rows.where(*has_overtaken).order_by(CreateRequest.number.desc())
    while found := session.execute(earlier.limit(1)).one_or_none():
        number = max(retry, abs(found.retry))
        taken = session.execute(
            update(CreateRequest)
            .where(CreateRequest.number == found.number, CreateRequest.retry == found.retry)
            .values(retry=-number if retry and found.retry < 0 else number, seen_at=now)
            .returning(CreateRequest.job_id)
            .execution_options(**_PLAIN)
        ).one_or_none()
        if taken is not None:
            return Noted(found.number, taken.job_id)
        # A concurrent retry has taken it: look again.
    new = CreateRequest(digest=digest, retry=-retry, job_id=None, seen_at=now)
    session.add(new)
    session.flush()
    return Noted(new.number, None)


def lock_request(session: Session, number: int) -> str | None:
    """Return the job of a request, if it has one. Concurrent retries wait until this transaction ends."""
    query = select(CreateRequest.job_id).where(CreateRequest.number == number).with_for_update()
    return session.scalar(query)


def keep_job(session: Session, number: int, job_id: str) -> None:
    """Store the job of a locked request."""
    session.execute(
        update(CreateRequest)
        .where(CreateRequest.number == number)
        .values(job_id=job_id)
        .execution_options(**_PLAIN)
    )


def forget_old(session: Session, now: datetime) -> None:
    """Delete requests whose retries are no longer recognised."""
    session.execute(delete(CreateRequest).where(CreateRequest.seen_at <= now - KEPT))
