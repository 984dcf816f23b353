"""Rules for datasets: which files are accepted, how ids are assigned, and when datasets can be deleted."""

import hashlib
from collections.abc import Callable
from pathlib import PurePath
from shutil import copyfileobj
from typing import Any

from sqlalchemy.orm import Session

from app.datasets import store
from app.datasets.conversion.request import Limits
from app.datasets.intake import check_rows, hash_file
from app.datasets.preview import preview
from app.datasets.readiness import require_ready
from app.datasets.refusal import Refused
from app.datasets.review import service as reviews
from app.datasets.review import store as stored_reviews
from app.datasets.review.origins import Origins
from app.datasets.review.reviewer import Reviewed
from app.datasets.schemas import (
    CheckProgress,
    CountedTokens,
    DatasetDetail,
    DatasetOrigin,
    DatasetView,
    Validation,
)
from app.datasets.tokens.store import list_counted
from app.datasets.upload import Upload
from app.datasets.validation import service as validations
from app.datasets.validation.store import list_validations
from app.db.engine import Database, database_now
from app.db.ids import is_id
from app.db.tables import Dataset, DatasetValidation
from app.errors.base import error_body
from app.errors.disk import storage_errors
from app.errors.kinds import DatasetInUse, DatasetNotFound
from app.http.paging import Page, decode_cursor, encode_cursor
from app.storage.data_dir import Draft, Storage
from contracts.dataset.columns.mapping import Columns
from contracts.dataset.features import lacks_features
from contracts.dataset.status import DatasetStatus
from contracts.failure import Language
from contracts.values.text import escape

_BLOCK_BYTES = 1024 * 1024


def keep(session: Session, dataset_id: str, is_new: bool) -> None:
    """Make sure that a dataset that was first stored for a file is kept when that file is deleted."""
    if not is_new:
        store.release_from_files(session, dataset_id)


def add_dataset(
    database: Database,
    storage: Storage,
    upload: Upload,
    *,
    columns: Columns,
    limits: Limits,
    language: Language,
    background_bytes: int,
    also: Callable[[Session, str, bool], None] = keep,
) -> tuple[DatasetDetail, bool]:
    """Store an uploaded file like store_dataset; return the dataset and whether it is new. Raises an AppError."""
    try:
        dataset_id, is_new = store_dataset(
            database,
            storage,
            upload,
            columns=columns,
            limits=limits,
            background_bytes=background_bytes,
            also=also,
        )
    except Refused as refused:
        raise refused.error(language) from refused
    with database.reading() as session:
        return get_dataset(session, storage, dataset_id, language), is_new


def store_dataset(
    database: Database,
    storage: Storage,
    upload: Upload,
    *,
    columns: Columns,
    limits: Limits,
    background_bytes: int,
    source: DatasetOrigin | None = None,
    also: Callable[[Session, str, bool], None] = keep,
) -> tuple[str, bool]:
    """Store an uploaded or imported file; return the dataset's id and whether it is new. Raises Refused or an AppError.

    A file of at least `background_bytes` is checked and reviewed later (app/datasets/validation), a smaller one now,
    outside a transaction. `limits` are those of the review. The same bytes with the same choice are stored once; a
    failed dataset is checked again. Datasets with identical JSONL share one stored file. `also` is called in the
    transaction that stores the dataset, with its id and whether it is new; if it raises, nothing is stored.
    """
    sha256, length = hash_file(upload.file)
    dataset_id = _dataset_id(sha256, upload, columns)
    with database.reading() as session:
        known = store.find_any(session, dataset_id)
    origin = None if source is None else source.model_dump()
    if known is not None and known.status is not DatasetStatus.FAILED:
        is_old = known.status is DatasetStatus.READY and lacks_features(known.features)
        features = None
        if is_old and length < background_bytes:
            features = _count_features(storage, upload, columns)
        with database.writing() as session:
            # Another request may have deleted it since; then it is stored again below.
            found_now = store.lock_dataset(session, dataset_id)
            if found_now is not None:
                if features is not None:
                    found_now.features = features
                if origin is not None:
                    store.add_source(session, dataset_id, origin)
                also(session, dataset_id, False)
                return dataset_id, False
    row = {
        "id": dataset_id,
        "filename": _shown_name(upload),
        "upload_sha256": sha256,
        "upload_bytes": length,
        "columns": columns.stored if columns.are_chosen else None,
        "source": origin,
    }
    is_checked = length < background_bytes
    reviewed: Reviewed | None = None
    with storage_errors(), storage.draft() as draft:
        if is_checked:
            found, reviewed = _check(upload, draft, columns, limits)
            row |= found
        else:
            upload.file.seek(0)
            copyfileobj(upload.file, draft.file, _BLOCK_BYTES)
        path = storage.dataset(dataset_id) if is_checked else storage.received(dataset_id)
        draft.keep(path)
    try:
        with database.writing() as session:
            if is_checked:
                validations.forget_failed_one(session, dataset_id)
                now = database_now(session)
                shared = store.find_stored_path(session, draft.sha256)
                row |= {"sha256": draft.sha256, "bytes": draft.bytes, "created_at": now}
                is_new = store.insert_dataset(session, row | {"path": shared or path})
                if reviewed is not None:
                    stored_reviews.insert_review(session, dataset_id, reviewed, now)
            else:
                shared = None
                is_new = validations.add_validation(session, row, path, upload.encoding)
            also(session, dataset_id, is_new)
    except Exception:
        storage.delete(path)
        raise
    if not is_new or shared is not None:
        storage.delete(path)
    return dataset_id, is_new


def validate_dataset(
    storage: Storage, upload: Upload, columns: Columns, limits: Limits, language: Language
) -> Validation:
    """Check an uploaded file like add_dataset, but store nothing."""
    sha256, length = hash_file(upload.file)
    with storage_errors(), storage.draft() as draft:
        try:
            found, reviewed = _check(upload, draft, columns, limits)
        except Refused as refused:
            raise refused.error(language) from refused
        rows = list(preview(draft.path))
    return Validation(
        filename=_shown_name(upload),
        bytes=length,
        sha256=sha256,
        preview=rows,
        review=None if reviewed is None else reviews.view(reviewed.review, language),
        **found,
    )


def get_dataset(
    session: Session, storage: Storage, dataset_id: str, language: Language
) -> DatasetDetail:
    """Return a dataset with its first rows and its review. Raises DatasetNotFound."""
    dataset = _get_any(session, dataset_id)
    fields = _fields(dataset, list_validations(session, [dataset_id]).get(dataset_id), language)
    is_ready = dataset.status is DatasetStatus.READY
    rows = list(preview(storage.path(dataset.path))) if is_ready else []
    review = stored_reviews.find_review(session, dataset_id)
    shown = None if review is None else reviews.view(review, language)
    counted = [
        CountedTokens(model=model, tokenizer=tokenizer, created_at=at)
        for model, tokenizer, at in list_counted(session, dataset_id)
    ]
    return DatasetDetail(**fields, preview=rows, review=shown, token_counts=counted)


def count_rows(session: Session, dataset_id: str) -> int:
    """Return how many rows a dataset has. Raises DatasetNotFound, DatasetValidating or DatasetFailed."""
    dataset = _get_any(session, dataset_id)
    require_ready(dataset)
    return dataset.rows


def list_datasets(
    session: Session, search: str, cursor: str | None, limit: int, language: Language
) -> Page[DatasetView]:
    """Return a page of the datasets whose name or id contains the text, newest first."""
    below = decode_cursor(cursor, 1)[0] if cursor else None
    rows = store.list_datasets(session, search, below, limit + 1)
    page = rows[:limit]
    unready = [each.id for each in page if each.status is not DatasetStatus.READY]
    checks = list_validations(session, unready)
    return Page(
        data=[
            DatasetView(**_fields(dataset, checks.get(dataset.id), language, with_problems=False))
            for dataset in page
        ],
        has_more=len(rows) > limit,
        cursor=encode_cursor(page[-1].number) if page else cursor,
    )


def delete_dataset(session: Session, dataset_id: str) -> list[str]:
    """Delete a dataset; return the paths of its files, which the caller must delete after the commit.

    If the dataset is being checked, the check stops soon. Raises DatasetInUse if a job that has not ended uses the dataset.
    """
    dataset = store.lock_dataset(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    user = store.find_user_of_dataset(session, dataset_id)
    if user is not None:
        raise DatasetInUse(dataset=dataset_id, job=user)
    check = list_validations(session, [dataset_id]).get(dataset_id)
    path, sha256 = dataset.path, dataset.sha256
    store.delete_dataset(session, dataset_id)
    is_shared = store.uses_path(session, path, sha256)
    paths = ["" if is_shared else path, "" if check is None else check.upload_path]
    return [path for path in paths if path]


def _check(
    upload: Upload, draft: Draft, columns: Columns, limits: Limits
) -> tuple[dict[str, Any], Reviewed | None]:
    """Check the rows now, write them to the draft and review them.

    Returns the columns that describe the rows, and the review. Raises Refused.
    """
    origins = Origins()
    checked = check_rows(upload, draft, columns, origins=origins)
    draft.file.flush()
    features = checked.features.model_dump(mode="json")
    reviewed = reviews.review_upload(draft.path, checked.rows, origins, columns, limits)
    return {"rows": checked.rows, "forms": checked.forms, "features": features}, reviewed


def _count_features(storage: Storage, upload: Upload, columns: Columns) -> dict[str, Any] | None:
    """Return the features of a stored dataset's rows from its upload; None if this version rejects the rows."""
    with storage_errors(), storage.draft() as draft:
        try:
            return check_rows(upload, draft, columns).features.model_dump(mode="json")
        except Refused:
            return None


def _get_any(session: Session, dataset_id: str) -> Dataset:
    dataset = store.find_any(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    return dataset


def _dataset_id(sha256: str, upload: Upload, columns: Columns) -> str:
    """Return the dataset id for these bytes. The same bytes read differently are a different dataset."""
    choices = [] if upload.encoding in (None, "utf-8") else [f" encoding={upload.encoding}"]
    if columns.are_chosen:
        choices.append(columns.key)
    if choices:
        sha256 = hashlib.sha256("".join([sha256, *choices]).encode()).hexdigest()
    return f"ds_{sha256[:24]}"


def _shown_name(upload: Upload) -> str:
    return escape(PurePath(upload.filename.replace("\\", "/")).name)[:255] or "file"


def _fields(
    dataset: Dataset,
    check: DatasetValidation | None,
    language: Language,
    *,
    with_problems: bool = True,
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if check is not None and check.refusal is not None:
        refused = Refused.load(check.refusal)
        failure = error_body(refused.error(language), language).error
        fields["failure"] = failure
        if with_problems:
            fields["problems"] = refused.describe(language)
        else:
            failure.errors = None
    elif check is not None:
        fields["progress"] = CheckProgress(bytes=check.checked_bytes, rows=check.checked_rows)
    return fields | {
        "id": dataset.id,
        "status": dataset.status,
        "filename": dataset.filename,
        "rows": dataset.rows,
        "bytes": dataset.upload_bytes,
        "sha256": dataset.upload_sha256,
        "forms": dataset.forms,
        "features": dataset.features,
        "columns": dataset.columns,
        "source": dataset.source,
        "created_at": dataset.created_at,
    }
