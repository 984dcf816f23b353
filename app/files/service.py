"""Rules for files: their ids, how clients see them, and when their datasets are deleted."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.datasets import service as datasets
from app.datasets import store as dataset_rows
from app.datasets.refusal import Refused
from app.datasets.validation.store import list_validations
from app.db.engine import Database, database_now
from app.db.openai_tables import File
from app.db.tables import Dataset
from app.errors.base import error_body
from app.errors.kinds import DatasetInUse, FileNotFound
from app.files import store
from app.files.schemas import FileStatus, FileView
from app.storage.data_dir import Storage
from contracts.dataset.status import DatasetStatus
from contracts.failure import Language

PREFIX = "file-"
_STATUS: Mapping[DatasetStatus, FileStatus] = {
    DatasetStatus.VALIDATING: "uploaded",
    DatasetStatus.READY: "processed",
    DatasetStatus.FAILED: "error",
}
_EXPIRED_AT_ONCE = 100
_PLACE_KEPT = timedelta(days=1)
"""How long a list of files can continue after a deleted file."""


def new_file_id() -> str:
    """Return `file-` and 24 random hexadecimal digits."""
    return f"{PREFIX}{secrets.token_hex(12)}"


def insert_file(
    session: Session,
    file_id: str,
    dataset_id: str,
    *,
    filename: str,
    size: int,
    is_new: bool,
    seconds: int | None = None,
) -> None:
    """Store a file that refers to a dataset.

    `is_new`: whether the dataset was stored for this file. `seconds`: the file's lifetime.
    """
    now = database_now(session)
    file = File(
        id=file_id,
        dataset_id=dataset_id,
        filename=filename,
        bytes=size,
        owns_dataset=is_new,
        created_at=now,
        expires_at=None if seconds is None else now + timedelta(seconds=seconds),
    )
    store.insert_file(session, file)


def get_file(session: Session, file_id: str, language: Language) -> FileView:
    """Return a file. Raises FileNotFound."""
    file, dataset = get_row(session, file_id)
    return view_file(session, file, dataset, language)


def find_view(session: Session, file_id: str) -> FileView | None:
    """Return a file, or None."""
    found = store.find_file(session, file_id, database_now(session))
    return None if found is None else view_file(session, *found, "en")


def get_row(session: Session, file_id: str) -> tuple[File, Dataset]:
    """Return a file's row with its dataset. Raises FileNotFound."""
    is_valid = file_id.startswith(PREFIX) and file_id.removeprefix(PREFIX).isalnum()
    found = store.find_file(session, file_id, database_now(session)) if is_valid else None
    if found is None:
        raise FileNotFound(file=file_id[:100])
    return found


def view_file(session: Session, file: File, dataset: Dataset, language: Language) -> FileView:
    """Return a file as OpenAI's clients see it."""
    return FileView(
        id=file.id,
        bytes=file.bytes,
        created_at=int(file.created_at.timestamp()),
        filename=file.filename,
        status=_STATUS[dataset.status],
        status_details=_problem(session, dataset, language),
        expires_at=None if file.expires_at is None else int(file.expires_at.timestamp()),
        dataset_id=dataset.id,
    )


def delete_file(session: Session, file_id: str) -> list[str]:
    """Delete a file, and its dataset if this was its last file and the dataset was stored for one of them.

    Return the paths of files that the caller must delete after the commit. Raises FileNotFound, DatasetInUse.
    """
    file = _lock(session, get_row(session, file_id)[0])
    if file is None:
        raise FileNotFound(file=file_id[:100])
    return _delete(session, file)


def delete_expired(database: Database, storage: Storage) -> None:
    """Delete expired files, except the last file of a dataset that a job still needs."""
    with database.reading() as session:
        expired = store.list_expired(session, database_now(session), _EXPIRED_AT_ONCE)
    for file_id in expired:
        try:
            with database.writing() as session:
                paths = _delete_expired(session, file_id)
        except DatasetInUse:
            continue  # a later sweep deletes it
        for path in paths:
            storage.delete(path)


def forget_deleted(session: Session, now: datetime) -> None:
    """Forget the places of files that were deleted long ago."""
    store.forget_deleted(session, now - _PLACE_KEPT)


def _delete_expired(session: Session, file_id: str) -> list[str]:
    found = store.find_any(session, file_id)
    file = None if found is None else _lock(session, found)
    return [] if file is None else _delete(session, file)


def _lock(session: Session, file: File) -> File | None:
    """Lock the dataset of a file; return the file as it is now, because another request may have made it the owner or deleted it."""
    dataset_rows.lock_dataset(session, file.dataset_id)
    return store.find_any(session, file.id)


def _delete(session: Session, file: File) -> list[str]:
    if not store.delete_file(session, file, database_now(session)):
        return []
    return datasets.delete_dataset(session, file.dataset_id)


def _problem(session: Session, dataset: Dataset, language: Language) -> str | None:
    """Return why the rows of a dataset were rejected, or None."""
    if dataset.status is not DatasetStatus.FAILED:
        return None
    check = list_validations(session, [dataset.id]).get(dataset.id)
    if check is None or check.refusal is None:
        return None
    refused = Refused.load(check.refusal)
    return error_body(refused.error(language), language).error.message
