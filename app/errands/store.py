"""SQL for errands. Each change of the status is one guarded UPDATE."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, case, delete, func, select, update
from sqlalchemy.orm import Session, undefer

from app.db.sql import insert_missing
from app.db.tables import Errand
from contracts.errands.errand import ErrandKind, ErrandStatus

OPEN = (ErrandStatus.QUEUED, ErrandStatus.RUNNING)


class _Columns(TypedDict, total=False):
    status: ErrandStatus
    tries: int | ColumnElement[int]
    worker_id: str
    token_sha256: str | None
    progress: Mapping[str, Any] | None
    result: bytes | None
    failure: Mapping[str, Any] | None
    claimed_at: datetime
    expires_at: datetime
    finished_at: datetime


def insert_errand(session: Session, row: Mapping[str, Any]) -> bool:
    """Store an errand. Return False if an open one has the same key."""
    return insert_missing(session, Errand, [row]) == 1


def find_errand(session: Session, errand_id: str) -> Errand | None:
    """Return the errand, re-read from the database, or None."""
    return session.scalars(
        select(Errand).where(Errand.id == errand_id).execution_options(populate_existing=True)
    ).one_or_none()


def find_newest(session: Session, key: str) -> Errand | None:
    """Return the newest errand with this key, or None."""
    query = select(Errand).where(Errand.key == key).order_by(Errand.number.desc()).limit(1)
    return session.scalars(query).one_or_none()


def list_errands(session: Session, below: int | None, limit: int) -> Sequence[Errand]:
    """Return at most `limit` errands with numbers below `below`, newest first."""
    query = select(Errand).order_by(Errand.number.desc()).limit(limit)
    return session.scalars(query if below is None else query.where(Errand.number < below)).all()


def find_result(session: Session, errand_id: str) -> bytes | None:
    """Return the compressed result of an errand, or None."""
    query = select(Errand).where(Errand.id == errand_id).options(undefer(Errand.result))
    found = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    return None if found is None else found.result


def count_open(session: Session, kind: ErrandKind) -> int:
    """Return the number of errands of a kind that have not ended."""
    query = select(func.count()).select_from(Errand)
    return session.scalars(query.where(Errand.status.in_(OPEN), Errand.kind == kind)).one()


def list_open(session: Session) -> dict[str, ErrandStatus]:
    """Return the status of each errand that has not ended, by its id, in the order of creation."""
    query = select(Errand.id, Errand.status).where(Errand.status.in_(OPEN)).order_by(Errand.number)
    return dict(session.execute(query).all())


def list_queued(session: Session, kinds: Sequence[str], now: datetime) -> Sequence[Errand]:
    """Return the errands of these kinds that are waiting for a worker, oldest first."""
    return session.scalars(
        select(Errand)
        .where(
            Errand.status == ErrandStatus.QUEUED,
            Errand.kind.in_(_known(kinds)),
            Errand.expires_at > now,
        )
        .order_by(Errand.number)
    ).all()


def claim_errand(
    session: Session,
    errand: Errand,
    *,
    worker_id: str,
    token_sha256: str,
    now: datetime,
    expires_at: datetime,
) -> bool:
    """Assign a queued errand to a worker. Return False if another worker has already claimed it."""
    return _change(
        session,
        errand.id,
        Errand.status == ErrandStatus.QUEUED,
        status=ErrandStatus.RUNNING,
        tries=errand.tries + 1,
        worker_id=worker_id,
        token_sha256=token_sha256,
        claimed_at=now,
        expires_at=expires_at,
    )


def renew(
    session: Session,
    errand_id: str,
    token_sha256: str,
    expires_at: datetime,
    progress: Mapping[str, Any] | None,
) -> bool:
    """Renew the lease of a running errand. Return False if the caller does not hold it.

    Progress on a model download resets the number of claims to one, so that the download survives any number of lost workers.
    """
    values: _Columns = {"expires_at": expires_at}
    if progress is not None:
        is_download = Errand.kind == ErrandKind.PREFETCH
        values["progress"] = progress
        values["tries"] = case((is_download, 1), else_=Errand.tries)
    return _change(session, errand_id, *_is_held(token_sha256), **values)


def finish_errand(
    session: Session,
    errand_id: str,
    token_sha256: str,
    *,
    now: datetime,
    result: bytes | None,
    failure: Mapping[str, Any] | None,
    progress: Mapping[str, Any] | None,
) -> bool:
    """End a running errand; `progress=None` keeps the last one. Return False if the caller does not hold it."""
    status = ErrandStatus.FAILED if failure is not None else ErrandStatus.SUCCEEDED
    values: _Columns = {
        "status": status,
        "result": result,
        "failure": failure,
        "finished_at": now,
    }
    if progress is not None:
        values["progress"] = progress
    return _change(session, errand_id, *_is_held(token_sha256), **values)


def cancel_errand(
    session: Session, errand_id: str, failure: Mapping[str, Any], now: datetime
) -> bool:
    """End an open errand. Return False if it has already ended."""
    return _change(
        session,
        errand_id,
        Errand.status.in_(OPEN),
        status=ErrandStatus.CANCELLED,
        failure=failure,
        finished_at=now,
    )


def list_expired(session: Session, now: datetime) -> Sequence[Errand]:
    """Return the open errands that no worker claimed in time, and those whose lease has ended."""
    query = select(Errand).where(Errand.status.in_(OPEN), Errand.expires_at <= now)
    return session.scalars(query.order_by(Errand.number)).all()


def list_held(session: Session, worker_id: str, kinds: Sequence[str]) -> Sequence[Errand]:
    """Return the errands of these kinds that a worker holds."""
    return session.scalars(
        select(Errand).where(
            Errand.status == ErrandStatus.RUNNING,
            Errand.worker_id == worker_id,
            Errand.kind.in_(_known(kinds)),
        )
    ).all()


def extend_running(session: Session, expires_at: datetime) -> None:
    """Extend the leases of all running errands."""
    session.execute(
        update(Errand).where(Errand.status == ErrandStatus.RUNNING).values(expires_at=expires_at)
    )


def queue_again(session: Session, errand: Errand, expires_at: datetime) -> bool:
    """Queue an errand again because its worker has lost it. Return False if it has changed in the meantime."""
    return _change(
        session,
        errand.id,
        *_is_unchanged(errand),
        status=ErrandStatus.QUEUED,
        token_sha256=None,
        progress=None,
        expires_at=expires_at,
    )


def give_up(session: Session, errand: Errand, failure: Mapping[str, Any], now: datetime) -> bool:
    """End an errand with a failure. Return False if it has changed in the meantime."""
    return _change(
        session,
        errand.id,
        *_is_unchanged(errand),
        status=ErrandStatus.FAILED,
        failure=failure,
        finished_at=now,
    )


def delete_ended(session: Session, now: datetime, kept_seconds: float, most_kept: int) -> int:
    """Delete errands that ended too long ago, and the oldest ended ones beyond `most_kept`; return their number."""
    ended = Errand.status.not_in(OPEN)
    kept = (
        select(Errand.number)
        .where(ended)
        .order_by(Errand.finished_at.desc(), Errand.number.desc())
        .limit(most_kept)
    )
    old = Errand.finished_at <= now - timedelta(seconds=kept_seconds)
    deleted = session.execute(
        delete(Errand)
        .where(ended, old | Errand.number.not_in(kept))
        .returning(Errand.number)
        .execution_options(synchronize_session=False)
    )
    return len(deleted.all())


def _known(kinds: Sequence[str]) -> list[ErrandKind]:
    """Return the kinds that this server knows; a newer worker may name others."""
    return [kind for kind in ErrandKind if kind in kinds]


def _is_unchanged(errand: Errand) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Errand.status == errand.status, Errand.expires_at == errand.expires_at


def _is_held(token_sha256: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Errand.status == ErrandStatus.RUNNING, Errand.token_sha256 == token_sha256


def _change(
    session: Session,
    errand_id: str,
    *conditions: ColumnElement[bool],
    **values: Unpack[_Columns],
) -> bool:
    changed = session.execute(
        update(Errand)
        .where(Errand.id == errand_id, *conditions)
        .values(**values)
        .returning(Errand.id)
        .execution_options(synchronize_session=False)
    ).first()
    return changed is not None
