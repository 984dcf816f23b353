"""SQL for datasets."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from app.db.job_tables import JobDataset
from app.db.openai_tables import File
from app.db.sql import insert_missing
from app.db.tables import Dataset, Job
from contracts.dataset.status import DatasetStatus
from contracts.job import JobStatus


def find_dataset(session: Session, dataset_id: str) -> Dataset | None:
    """Return the dataset if it is ready, or None."""
    dataset = find_any(session, dataset_id)
    return dataset if dataset is not None and dataset.status is DatasetStatus.READY else None


def find_any(session: Session, dataset_id: str) -> Dataset | None:
    """Return the dataset, whatever its status, or None."""
    return session.scalars(select(Dataset).where(Dataset.id == dataset_id)).one_or_none()


def lock_dataset(session: Session, dataset_id: str) -> Dataset | None:
    """Return the dataset, whatever its status, locked to keep new jobs from using it."""
    return session.scalars(
        select(Dataset).where(Dataset.id == dataset_id).with_for_update()
    ).one_or_none()


def release_from_files(session: Session, dataset_id: str) -> None:
    """Record that no file owns the dataset, so that it is kept when its files are deleted."""
    owned = update(File).where(File.dataset_id == dataset_id, File.owns_dataset)
    session.execute(owned.values(owns_dataset=False))


def insert_dataset(session: Session, row: dict[str, Any]) -> bool:
    """Store a dataset and return whether it is new. One that exists already is locked."""
    while insert_missing(session, Dataset, [row]) == 0:
        if lock_dataset(session, row["id"]) is not None:
            return False
        # It has been deleted in the meantime.
    return True


def find_stored_path(session: Session, sha256: str) -> str | None:
    """Return the path of a stored file with this content, or None.

    A dataset that uses the file is locked, so it cannot be deleted before the caller's transaction has ended.
    """
    query = select(Dataset).where(Dataset.sha256 == sha256, Dataset.status == DatasetStatus.READY)
    found = session.scalars(query.order_by(Dataset.number).limit(1).with_for_update())
    dataset = found.one_or_none()
    return None if dataset is None else dataset.path


def uses_path(session: Session, path: str, sha256: str) -> bool:
    """Return whether a dataset uses this file, whose content has this SHA-256."""
    uses = select(Dataset.id).where(Dataset.sha256 == sha256, Dataset.path == path).exists()
    return session.scalar(select(uses)) is True


def add_source(session: Session, dataset_id: str, source: dict[str, Any]) -> None:
    """Record where a dataset comes from, unless this is already recorded."""
    session.execute(
        update(Dataset)
        .where(Dataset.id == dataset_id, Dataset.source.is_(None))
        .values(source=source)
        .execution_options(synchronize_session=False)
    )


def delete_dataset(session: Session, dataset_id: str) -> None:
    """Delete the dataset's row."""
    session.execute(delete(Dataset).where(Dataset.id == dataset_id))


def list_datasets(
    session: Session, search: str, below: int | None, limit: int
) -> Sequence[Dataset]:
    """Return at most `limit` datasets with numbers below `below`, newest first. An empty search matches every dataset."""
    query = select(Dataset).order_by(Dataset.number.desc()).limit(limit)
    if search:
        query = query.where(
            or_(
                Dataset.filename.icontains(search, autoescape=True),
                Dataset.id.icontains(search, autoescape=True),
            )
        )
    return session.scalars(query if below is None else query.where(Dataset.number < below)).all()


def find_user_of_dataset(session: Session, dataset_id: str) -> str | None:
    """Return the id of a job that needs the dataset and has not ended."""
    is_open = Job.status.in_([status for status in JobStatus if not status.is_final])
    is_used = or_(Job.train_dataset_id == dataset_id, Job.eval_dataset_id == dataset_id)
    alone = session.scalar(select(Job.id).where(is_used, is_open).limit(1))
    if alone is not None:
        return alone
    mixed = select(Job.id).join(JobDataset, JobDataset.job_id == Job.id)
    return session.scalar(mixed.where(JobDataset.dataset_id == dataset_id, is_open).limit(1))


def link_datasets(session: Session, job_id: str, dataset_ids: Sequence[str]) -> None:
    """Store the uploaded training datasets of a job with several. Raises IntegrityError if one does not exist."""
    rows = [{"job_id": job_id, "dataset_id": each} for each in dataset_ids]
    if rows:
        insert_missing(session, JobDataset, rows)


def is_linked(session: Session, job_id: str, dataset_id: str) -> bool:
    """Return whether a job with several datasets trains on this one."""
    return session.get(JobDataset, (job_id, dataset_id)) is not None
