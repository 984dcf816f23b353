"""Rules for datasets: which files are accepted, how ids are assigned, and when datasets can be deleted."""

import hashlib
from pathlib import PurePath
from typing import Any

from sqlalchemy.orm import Session

from app.datasets import store
from app.datasets.conversion.request import Limits
from app.datasets.intake import hash_file, write_rows
from app.datasets.preview import preview
from app.datasets.review import service as reviews
from app.datasets.review import store as stored_reviews
from app.datasets.review.origins import Origins
from app.datasets.schemas import DatasetDetail, DatasetView, Validation
from app.datasets.upload import Upload
from app.db.engine import Database, database_now
from app.db.ids import is_id
from app.db.tables import Dataset
from app.errors.disk import storage_errors
from app.errors.kinds import DatasetInUse, DatasetNotFound
from app.http.paging import Page, decode_cursor, encode_cursor
from app.storage.data_dir import Storage
from contracts.dataset.columns import Columns
from contracts.failure import Language
from contracts.values.text import escape


def add_dataset(
    database: Database,
    storage: Storage,
    upload: Upload,
    *,
    columns: Columns,
    limits: Limits,
    language: Language,
) -> tuple[DatasetDetail, bool]:
    """Check, review and store an uploaded file; return the dataset and whether it is new.

    The file is read outside a transaction. `limits` are those of the review.
    """
    sha256, length = hash_file(upload.file)
    dataset_id = _dataset_id(sha256, upload, columns)
    with database.reading() as session:
        known = store.find_dataset(session, dataset_id)
        if known is not None:
            return _detail(session, known, storage, language), False
    with storage_errors(), storage.draft() as draft:
        origins = Origins()
        forms, features = write_rows(upload, draft, columns, language, origins)
        draft.file.flush()
        reviewed = reviews.review_upload(draft.path, forms.total(), origins, columns, limits)
        path = storage.dataset(dataset_id)
        draft.keep(path)
    row = {
        "id": dataset_id,
        "filename": _shown_name(upload),
        "upload_sha256": sha256,
        "upload_bytes": length,
        "sha256": draft.sha256,
        "bytes": draft.bytes,
        "rows": forms.total(),
        "forms": dict(forms),
        "features": features.model_dump(mode="json"),
        "columns": columns.stored if columns.are_chosen else None,
        "path": path,
    }
    with database.writing() as session:
        now = database_now(session)
        is_new = store.insert_dataset(session, row | {"created_at": now})
        if reviewed is not None:
            stored_reviews.insert_review(session, dataset_id, reviewed, now)
        detail = get_dataset(session, storage, dataset_id, language)
    if not is_new:
        storage.delete(path)
    return detail, is_new


def validate_dataset(
    storage: Storage, upload: Upload, columns: Columns, limits: Limits, language: Language
) -> Validation:
    """Check an uploaded file like add_dataset, but store nothing."""
    sha256, length = hash_file(upload.file)
    with storage_errors(), storage.draft() as draft:
        origins = Origins()
        forms, features = write_rows(upload, draft, columns, language, origins)
        draft.file.flush()
        reviewed = reviews.review_upload(draft.path, forms.total(), origins, columns, limits)
        rows = list(preview(draft.path))
    return Validation(
        filename=_shown_name(upload),
        rows=forms.total(),
        bytes=length,
        sha256=sha256,
        forms=dict(forms),
        features=features,
        preview=rows,
        review=None if reviewed is None else reviews.view(reviewed.review, language),
    )


def get_dataset(
    session: Session, storage: Storage, dataset_id: str, language: Language
) -> DatasetDetail:
    """Return a dataset with its first rows and its review. Raises DatasetNotFound."""
    dataset = store.find_dataset(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    return _detail(session, dataset, storage, language)


def count_rows(session: Session, dataset_id: str) -> int:
    """Return how many rows a dataset has. Raises DatasetNotFound."""
    dataset = store.find_dataset(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    return dataset.rows


def list_datasets(
    session: Session, search: str, cursor: str | None, limit: int
) -> Page[DatasetView]:
    """Return a page of the datasets whose name or id contains the text, newest first."""
    below = decode_cursor(cursor, 1)[0] if cursor else None
    rows = store.list_datasets(session, search, below, limit + 1)
    page = rows[:limit]
    return Page(
        data=[DatasetView(**_fields(dataset)) for dataset in page],
        has_more=len(rows) > limit,
        cursor=encode_cursor(page[-1].number) if page else cursor,
    )


def delete_dataset(session: Session, dataset_id: str) -> str:
    """Delete a dataset; return the path of its file, which the caller deletes after the commit.

    Raises DatasetInUse if a job that has not ended uses it.
    """
    dataset = store.lock_dataset(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    user = store.find_user_of_dataset(session, dataset_id)
    if user is not None:
        raise DatasetInUse(dataset=dataset_id, job=user)
    store.delete_dataset(session, dataset_id)
    return dataset.path


def _dataset_id(sha256: str, upload: Upload, columns: Columns) -> str:
    """Return the dataset id for these bytes. Reading the same bytes differently gives a different dataset."""
    choices = [] if upload.encoding in (None, "utf-8") else [f" encoding={upload.encoding}"]
    if columns.are_chosen:
        choices.append(columns.key)
    if choices:
        sha256 = hashlib.sha256("".join([sha256, *choices]).encode()).hexdigest()
    return f"ds_{sha256[:24]}"


def _shown_name(upload: Upload) -> str:
    return escape(PurePath(upload.filename.replace("\\", "/")).name)[:255] or "file"


def _fields(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "filename": dataset.filename,
        "rows": dataset.rows,
        "bytes": dataset.upload_bytes,
        "sha256": dataset.upload_sha256,
        "forms": dataset.forms,
        "features": dataset.features,
        "columns": dataset.columns,
        "created_at": dataset.created_at,
    }


def _detail(
    session: Session, dataset: Dataset, storage: Storage, language: Language
) -> DatasetDetail:
    review = stored_reviews.find_review(session, dataset.id)
    return DatasetDetail(
        **_fields(dataset),
        preview=list(preview(storage.path(dataset.path))),
        review=None if review is None else reviews.view(review, language),
    )
