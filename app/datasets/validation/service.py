"""Rules for checks after the response: a server holds a lease on each check that it runs, and each check ends only once.

A dataset is `validating` until the check ends, and then `ready` or `failed`. If the server or the database fails during the check,
the lease expires, and another server starts the check again.
"""

import secrets
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Rejected
from app.datasets.refusal import Refused
from app.datasets.review.reviewer import Reviewed
from app.datasets.review.store import insert_review
from app.datasets.validation import store
from app.datasets.validation.request import Accepted
from app.db.engine import database_now
from app.db.tables import Dataset, DatasetValidation
from contracts.dataset.status import DatasetStatus

LEASE_SECONDS = 20.0
"""Time without a report from a server after which another one starts its check again."""
MOST_TRIES = 2
"""Maximum number of starts of a check whose child is killed, crashes or hangs."""
MOST_TAKEOVERS = 5
"""Maximum number of starts of a check whose servers stop reporting."""
FAILED_SECONDS = 7 * 24 * 3600.0
"""How long a failed dataset is kept."""


@dataclass(frozen=True)
class Held:
    """A check that this server runs."""

    token: str
    tries: int
    dataset: Dataset
    validation: DatasetValidation


def add_validation(
    session: Session, row: dict[str, Any], upload_path: str, encoding: str | None
) -> bool:
    """Store a dataset that has yet to be checked; return False if it already exists. A failed dataset is replaced."""
    forget_failed_one(session, row["id"])
    unchecked = {"sha256": "", "bytes": 0, "rows": 0, "forms": {}, "features": None, "path": ""}
    row = row | unchecked | {"status": DatasetStatus.VALIDATING}
    if not datasets.insert_dataset(session, row | {"created_at": database_now(session)}):
        return False
    pending = {"tries": 0, "checked_bytes": 0, "checked_rows": 0, "encoding": encoding}
    store.insert_validation(
        session, pending | {"dataset_id": row["id"], "upload_path": upload_path}
    )
    return True


def claim_next(session: Session) -> Held | None:
    """Claim the oldest check that no server runs. Return None if there is none."""
    now = database_now(session)
    due = store.find_due(session, now)
    dataset = None if due is None else datasets.find_any(session, due.dataset_id)
    if due is None or dataset is None:
        return None
    token = secrets.token_urlsafe(24)
    if due.tries >= MOST_TAKEOVERS:
        due.token = token
        session.flush()
        error = FileError(FileProblem.CHECK_CRASHED, how="a lost server", rows=due.checked_rows)
        fail(session, dataset.id, token, Refused("dataset_unreadable", [Rejected(error)]))
        return None
    due.token, due.tries = token, due.tries + 1
    due.expires_at = now + timedelta(seconds=LEASE_SECONDS)
    session.flush()
    return Held(token, due.tries, dataset, due)


def renew(session: Session, held: Held, checked_bytes: int, checked_rows: int) -> bool:
    """Renew the lease and record progress. Return False if this server no longer holds the check."""
    return store.update_held(
        session,
        held.dataset.id,
        held.token,
        expires_at=database_now(session) + timedelta(seconds=LEASE_SECONDS),
        checked_bytes=checked_bytes,
        checked_rows=checked_rows,
    )


def release(session: Session, held: Held, *, is_counted: bool) -> None:
    """Release a check so that it is started again. If `is_counted` is false, this start does not count as a try."""
    tries = held.tries if is_counted else held.tries - 1
    store.update_held(
        session, held.dataset.id, held.token, token=None, expires_at=None, tries=tries
    )


def accept(session: Session, held: Held, accepted: Accepted) -> str | None:
    """Make the dataset ready, and store its review. Return None if this server no longer holds the check.

    Returns the path of the rows, which is that of another file if one with the
    same content is already stored.
    """
    # Lock in the same order as a deletion does, to avoid a deadlock.
    if datasets.lock_dataset(session, held.dataset.id) is None:
        return None
    if not store.delete_held(session, held.dataset.id, held.token):
        return None
    path = datasets.find_stored_path(session, accepted.sha256) or accepted.path
    store.update_dataset(
        session,
        held.dataset.id,
        status=DatasetStatus.READY,
        sha256=accepted.sha256,
        bytes=accepted.bytes,
        rows=accepted.rows,
        forms=accepted.forms,
        features=accepted.features,
        path=path,
    )
    if accepted.review is not None:
        reviewed = Reviewed(accepted.review, b64decode(accepted.hashes))
        insert_review(session, held.dataset.id, reviewed, database_now(session))
    return path


def fail(session: Session, dataset_id: str, token: str, refused: Refused) -> bool:
    """Record why the file was refused. Return False if this server no longer holds the check."""
    if datasets.lock_dataset(session, dataset_id) is None:
        return False
    now = database_now(session)
    is_held = store.update_held(
        session,
        dataset_id,
        token,
        refusal=refused.dump(),
        finished_at=now,
        token=None,
        expires_at=None,
        upload_path="",
    )
    if is_held:
        store.update_dataset(session, dataset_id, status=DatasetStatus.FAILED)
    return is_held


def forget_failed_one(session: Session, dataset_id: str) -> None:
    """Delete this dataset if its check failed."""
    store.delete_failed(session, None, dataset_id)


def forget_failed(session: Session, now: datetime) -> int:
    """Delete datasets whose check failed more than FAILED_SECONDS ago; return how many."""
    return store.delete_failed(session, now - timedelta(seconds=FAILED_SECONDS))
