"""SQL for uploads and their parts."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.db.tables import PartialUpload, UploadPart


def insert_upload(session: Session, upload: PartialUpload) -> None:
    """Store a new upload."""
    session.add(upload)
    session.flush()


def find_upload(session: Session, upload_id: str) -> PartialUpload | None:
    """Return the upload, or None."""
    query = select(PartialUpload).where(PartialUpload.id == upload_id)
    return session.scalars(query).one_or_none()


def lock_upload(session: Session, upload_id: str) -> PartialUpload | None:
    """Return the upload, locked until the end of the transaction, or None."""
    query = select(PartialUpload).where(PartialUpload.id == upload_id).with_for_update()
    return session.scalars(query).one_or_none()


def count_pending(session: Session) -> int:
    """Return the number of uploads that accept parts."""
    query = select(func.count()).select_from(PartialUpload).where(PartialUpload.status == "pending")
    return session.scalars(query).one()


def insert_part(session: Session, part: UploadPart) -> None:
    """Store a new part."""
    session.add(part)
    session.flush()


def find_part(session: Session, part_id: str) -> UploadPart | None:
    """Return the part, or None."""
    return session.scalars(select(UploadPart).where(UploadPart.id == part_id)).one_or_none()


def find_newest_part(session: Session, upload_id: str, beginning: str) -> UploadPart | None:
    """Return the newest part of an upload whose id begins with this text, or None."""
    query = select(UploadPart).where(
        UploadPart.upload_id == upload_id, UploadPart.id.startswith(beginning, autoescape=True)
    )
    return session.scalars(query.order_by(UploadPart.number.desc()).limit(1)).one_or_none()


def sum_parts(session: Session, upload_id: str) -> tuple[int, int]:
    """Return the number of parts of an upload and their total size in bytes."""
    total = func.coalesce(func.sum(UploadPart.bytes), 0)
    query = select(func.count(), total).where(UploadPart.upload_id == upload_id)
    count, size = session.execute(query).one()
    return count, int(size)


def list_parts(session: Session, upload_id: str) -> Sequence[UploadPart]:
    """Return the parts of an upload in the order in which they were added."""
    query = select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    return session.scalars(query).all()


def delete_parts(session: Session, upload_id: str) -> list[str]:
    """Delete the rows of an upload's parts. Return the paths of their files."""
    paths = session.scalars(select(UploadPart.path).where(UploadPart.upload_id == upload_id)).all()
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload_id))
    return list(paths)


def has_ended(session: Session, now: datetime, before: datetime) -> bool:
    """Return whether an upload has expired, or ended before a time."""
    is_expired = and_(PartialUpload.status == "pending", PartialUpload.expires_at < now)
    query = select(PartialUpload.id).where(or_(is_expired, PartialUpload.ended_at < before))
    return session.scalar(select(query.exists())) is True


def list_expired(session: Session, now: datetime, limit: int) -> Sequence[str]:
    """Return the ids of pending uploads that have expired."""
    query = (
        select(PartialUpload.id)
        .where(PartialUpload.status == "pending", PartialUpload.expires_at < now)
        .order_by(PartialUpload.expires_at)
        .limit(limit)
    )
    return session.scalars(query).all()


def mark_ended(
    session: Session,
    upload_id: str,
    status: str,
    now: datetime,
    *,
    dataset_id: str | None = None,
    file_id: str | None = None,
) -> None:
    """Set the final status of an upload."""
    session.execute(
        update(PartialUpload)
        .where(PartialUpload.id == upload_id)
        .values(status=status, ended_at=now, dataset_id=dataset_id, file_id=file_id)
    )


def forget_ended(session: Session, before: datetime) -> None:
    """Delete the rows of uploads that ended before a time."""
    session.execute(delete(PartialUpload).where(PartialUpload.ended_at < before))
