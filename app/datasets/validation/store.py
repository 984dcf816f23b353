"""SQL for pending and failed checks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.orm import Session

from app.db.engine import database_now
from app.db.tables import Dataset, DatasetValidation
from contracts.dataset.status import DatasetStatus


class CheckColumns(TypedDict, total=False):
    """Columns of a check that change while it is pending and when it fails."""

    upload_path: str
    tries: int
    token: str | None
    expires_at: datetime | None
    checked_bytes: int
    checked_rows: int
    refusal: dict[str, Any]
    finished_at: datetime


class DatasetColumns(TypedDict, total=False):
    """Columns of a dataset that are written when its check ends."""

    sha256: str
    bytes: int
    rows: int
    forms: dict[str, int]
    features: dict[str, Any]
    path: str
    status: DatasetStatus


def insert_validation(session: Session, row: dict[str, Any]) -> None:
    """Store a new check."""
    session.add(DatasetValidation(**row))
    session.flush()


def list_validations(session: Session, dataset_ids: Sequence[str]) -> dict[str, DatasetValidation]:
    """Return the checks of these datasets by dataset id; datasets that are ready have none."""
    if not dataset_ids:
        return {}
    rows = session.scalars(
        select(DatasetValidation).where(DatasetValidation.dataset_id.in_(dataset_ids))
    )
    return {row.dataset_id: row for row in rows}


def has_due(session: Session) -> bool:
    """Return whether there is a check that no server runs."""
    return session.scalar(select(_due(database_now(session)).exists())) is True


def find_due(session: Session, now: datetime) -> DatasetValidation | None:
    """Return the oldest check that no server runs, locked against other servers, or None."""
    return session.scalars(
        _due(now)
        .join(Dataset, Dataset.id == DatasetValidation.dataset_id)
        .order_by(Dataset.number)
        .limit(1)
        .with_for_update(skip_locked=True, of=DatasetValidation)
    ).one_or_none()


def _due(now: datetime) -> Select[DatasetValidation]:
    return select(DatasetValidation).where(
        DatasetValidation.finished_at.is_(None),
        or_(DatasetValidation.expires_at.is_(None), DatasetValidation.expires_at <= now),
    )


def update_held(
    session: Session, dataset_id: str, held_token: str, /, **values: Unpack[CheckColumns]
) -> bool:
    """Update the check that this token holds; return False if it holds none."""
    found = session.execute(
        update(DatasetValidation)
        .where(DatasetValidation.dataset_id == dataset_id, DatasetValidation.token == held_token)
        .values(**values)
        .returning(DatasetValidation.dataset_id)
        .execution_options(synchronize_session=False)
    )
    return found.first() is not None


def delete_held(session: Session, dataset_id: str, token: str) -> bool:
    """Delete the check that this token holds; return False if it holds none."""
    found = session.execute(
        delete(DatasetValidation)
        .where(DatasetValidation.dataset_id == dataset_id, DatasetValidation.token == token)
        .returning(DatasetValidation.dataset_id)
        .execution_options(synchronize_session=False)
    )
    return found.first() is not None


def update_dataset(session: Session, dataset_id: str, **values: Unpack[DatasetColumns]) -> None:
    """Change the columns of a dataset."""
    session.execute(
        update(Dataset)
        .where(Dataset.id == dataset_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def release_all(session: Session) -> None:
    """End every lease."""
    session.execute(
        update(DatasetValidation)
        .where(DatasetValidation.finished_at.is_(None))
        .values(token=None, expires_at=None)
    )


def delete_failed(session: Session, before: datetime | None, dataset_id: str | None = None) -> int:
    """Delete datasets whose check failed before this time, or at any time; return how many. `dataset_id` restricts it to one."""
    failed = select(DatasetValidation.dataset_id).where(DatasetValidation.finished_at.is_not(None))
    if before is not None:
        failed = failed.where(DatasetValidation.finished_at < before)
    if dataset_id is not None:
        failed = failed.where(DatasetValidation.dataset_id == dataset_id)
    deleted = session.execute(
        delete(Dataset)
        .where(Dataset.status == DatasetStatus.FAILED, Dataset.id.in_(failed))
        .returning(Dataset.id)
        .execution_options(synchronize_session=False)
    )
    return len(deleted.all())
