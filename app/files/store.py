"""SQL for files."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.db.openai_tables import File, FormerFile
from app.db.tables import Dataset


def insert_file(session: Session, file: File) -> None:
    """Store a new file."""
    session.add(file)
    session.flush()


def find_file(session: Session, file_id: str, now: datetime) -> tuple[File, Dataset] | None:
    """Return a file that has not expired, with its dataset, or None."""
    row = session.execute(
        select(File, Dataset)
        .join(Dataset, Dataset.id == File.dataset_id)
        .where(File.id == file_id, _is_current(now))
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def find_any(session: Session, file_id: str) -> File | None:
    """Return a file as it is in the database, even if it has expired, or None."""
    query = select(File).where(File.id == file_id).execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def find_newest_files(session: Session, dataset_ids: Collection[str]) -> dict[str, str]:
    """Return the id of the newest file of each of these datasets that has one."""
    rows = session.execute(
        select(File.dataset_id, File.id)
        .where(File.dataset_id.in_(dataset_ids))
        .order_by(File.number)
    )
    found: dict[str, str] = dict(rows.all())
    return found


class Place(NamedTuple):
    """Where a page of files begins: only after this time, or at it after the file with this number."""

    at: datetime
    number: int


def list_files(
    session: Session, after: Place | None, limit: int, now: datetime, *, is_ascending: bool
) -> list[tuple[File, Dataset]]:
    """Return at most `limit` files that have not expired, in order of upload, starting after a place."""
    query = select(File, Dataset).join(Dataset, Dataset.id == File.dataset_id)
    query = query.where(_is_current(now)).limit(limit)
    order = tuple_(File.created_at, File.number)
    if after is not None:
        place = tuple_(literal(after.at, File.created_at.type), after.number)
        query = query.where(order > place if is_ascending else order < place)
    columns = (File.created_at, File.number)
    rows = session.execute(
        query.order_by(*(each if is_ascending else each.desc() for each in columns))
    )
    return [(file, dataset) for file, dataset in rows]


def delete_file(session: Session, file: File, now: datetime) -> bool:
    """Delete a file's row, and keep its place in the list. Return whether its dataset must be deleted too.

    Another file of the dataset becomes its owner. The caller must have locked the dataset.
    """
    session.execute(delete(File).where(File.id == file.id))
    session.add(
        FormerFile(id=file.id, number=file.number, created_at=file.created_at, deleted_at=now)
    )
    if not file.owns_dataset:
        return False
    heir = session.scalar(
        select(File.number).where(File.dataset_id == file.dataset_id).order_by(File.number).limit(1)
    )
    if heir is None:
        return True
    session.execute(update(File).where(File.number == heir).values(owns_dataset=True))
    return False


def find_place(session: Session, file_id: str) -> Place | None:
    """Return the place of a file in the list, also if it has expired or has been deleted not long ago; None for any other id."""
    for table in (File, FormerFile):
        row = session.execute(
            select(table.created_at, table.number).where(table.id == file_id)
        ).one_or_none()
        if row is not None:
            return Place(*row)
    return None


def forget_deleted(session: Session, before: datetime) -> None:
    """Forget the places of files that were deleted before this time."""
    session.execute(delete(FormerFile).where(FormerFile.deleted_at < before))


def list_expired(session: Session, now: datetime, limit: int) -> Sequence[str]:
    """Return the ids of expired files."""
    query = select(File.id).where(File.expires_at <= now).order_by(File.expires_at)
    return session.scalars(query.limit(limit)).all()


def _is_current(now: datetime) -> ColumnElement[bool]:
    return or_(File.expires_at.is_(None), File.expires_at > now)
