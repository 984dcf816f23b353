"""Rules for datasets: which files are accepted, what ids datasets get, and when they can be deleted."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.datasets import store
from app.datasets.found import Rejected, Row
from app.datasets.upload import Upload
from app.db.engine import Database, database_now
from app.db.ids import is_id
from app.db.tables import Dataset
from app.errors.disk import storage_errors
from app.errors.kinds import (
    DatasetEmpty,
    DatasetInUse,
    DatasetInvalid,
    DatasetNotFound,
    DatasetUnreadable,
)
from app.http.paging import Page, decode_cursor, encode_cursor
from app.storage.data_dir import Draft, Storage
from contracts.dataset.row_error import FORMS, RowError, RowProblem
from contracts.dataset.rows import MAX_LINE_BYTES, parse_row
from contracts.failure import Language
from contracts.text import escape

SHOWN_ERRORS = 5
"""Maximum number of invalid rows in an error response."""
COUNTED_ERRORS = 100
"""Number of invalid rows after which the rest of the file is not checked."""
PREVIEWED_ROWS = 3
PREVIEWED_CHARACTERS = 1000
_BLOCK_BYTES = 1024 * 1024


class DatasetView(BaseModel):
    """A dataset as users see it."""

    object: Literal["dataset"] = "dataset"
    id: str
    filename: str
    rows: int
    bytes: int
    """Size of the uploaded file."""
    sha256: str
    """Hash of the uploaded file."""
    forms: dict[str, int]
    """Number of rows per format (alpaca, prompt, messages)."""
    created_at: datetime


class Turn(BaseModel):
    """One turn of a previewed row."""

    role: str
    content: str


class Conversation(BaseModel):
    """A previewed row."""

    messages: list[Turn]


class DatasetDetail(DatasetView):
    """One dataset, with its first rows."""

    preview: list[Conversation]
    """As used for training; long text is truncated."""


class Validation(BaseModel):
    """What a file would become; nothing is stored."""

    object: Literal["dataset_validation"] = "dataset_validation"
    filename: str
    rows: int
    bytes: int
    """Size of the file."""
    sha256: str
    """Hash of the file."""
    forms: dict[str, int]
    """As in Dataset."""
    preview: list[Conversation]
    """As in DatasetDetail."""


class Deleted(BaseModel):
    """A deleted dataset."""

    object: Literal["dataset"] = "dataset"
    id: str
    deleted: Literal[True] = True


def add_dataset(
    database: Database, storage: Storage, upload: Upload, language: Language
) -> tuple[DatasetDetail, bool]:
    """Check and store an uploaded file; return the dataset and whether it is new. The file is read outside a transaction."""
    sha256, length = _hash(upload.file)
    dataset_id = _dataset_id(sha256, upload)
    with database.reading() as session:
        known = store.find_dataset(session, dataset_id)
        if known is not None:
            return _detail(known, storage), False
    with storage_errors(), storage.draft() as draft:
        forms = _write_rows(upload, draft, language)
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
        "path": path,
    }
    with database.writing() as session:
        is_new = store.insert_dataset(session, row | {"created_at": database_now(session)})
        detail = get_dataset(session, storage, dataset_id)
    if not is_new:
        storage.delete(path)
    return detail, is_new


def validate_dataset(storage: Storage, upload: Upload, language: Language) -> Validation:
    """Check an uploaded file as add_dataset does, and store nothing."""
    sha256, length = _hash(upload.file)
    with storage_errors(), storage.draft() as draft:
        forms = _write_rows(upload, draft, language)
        draft.file.flush()
        preview = list(_preview(draft.path))
    return Validation(
        filename=_shown_name(upload),
        rows=forms.total(),
        bytes=length,
        sha256=sha256,
        forms=dict(forms),
        preview=preview,
    )


def get_dataset(session: Session, storage: Storage, dataset_id: str) -> DatasetDetail:
    """Return a dataset with its first rows. Raises DatasetNotFound."""
    dataset = store.find_dataset(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    return _detail(dataset, storage)


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


def _dataset_id(sha256: str, upload: Upload) -> str:
    """Return the id of the rows that these bytes give, read in this way."""
    if upload.encoding in (None, "utf-8"):
        return f"ds_{sha256[:24]}"
    read_as = hashlib.sha256(f"{sha256} encoding={upload.encoding}".encode())
    return f"ds_{read_as.hexdigest()[:24]}"


def _shown_name(upload: Upload) -> str:
    return escape(PurePath(upload.filename.replace("\\", "/")).name)[:255] or "file"


def _hash(file: BinaryIO) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


def _write_rows(upload: Upload, draft: Draft, language: Language) -> Counter[str]:
    """Write the rows as JSONL and count them by format.

    Raises DatasetInvalid with the first invalid rows, or DatasetUnreadable if the file as a whole is wrong.
    """
    forms: Counter[str] = Counter()
    wrong: list[Rejected] = []
    with closing(upload.rows()) as rows:
        for found in rows:
            rejected = found if isinstance(found, Rejected) else _write_row(found, draft)
            if rejected is None:
                assert isinstance(found, Row)  # noqa: S101  # a Rejected always has a problem
                forms[_form(found.value)] += 1
                continue
            wrong.append(rejected)
            if len(wrong) >= COUNTED_ERRORS:
                break
    if len(wrong) == 1 and wrong[0].concerns_file:
        raise DatasetUnreadable("file", problem=wrong[0].describe(language))
    if wrong:
        more = " …" if len(wrong) > SHOWN_ERRORS else ""
        raise DatasetInvalid(
            "file",
            count=len(wrong),
            problems="; ".join(each.describe(language) for each in wrong[:SHOWN_ERRORS]) + more,
            expected=FORMS[language],
        )
    if not forms:
        raise DatasetEmpty("file")
    return forms


def _write_row(row: Row, draft: Draft) -> Rejected | None:
    try:
        parse_row(row.value, row.line)
    except RowError as error:
        return Rejected(error, row.number, row.file)
    content = _encode(row.value)
    if len(content) > MAX_LINE_BYTES:  # training would reject it
        too_long = RowError(row.line, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
        return Rejected(too_long, row.number, row.file)
    draft.write(content + b"\n")
    return None


def _encode(value: Any) -> bytes:
    # UTF-8 cannot encode an unpaired surrogate. parse_row accepts one only in columns that are not trained on.
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _form(row: dict[str, Any]) -> str:
    if "messages" in row:
        return "messages"
    return "prompt" if "prompt" in row else "alpaca"


def _fields(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "filename": dataset.filename,
        "rows": dataset.rows,
        "bytes": dataset.upload_bytes,
        "sha256": dataset.upload_sha256,
        "forms": dataset.forms,
        "created_at": dataset.created_at,
    }


def _detail(dataset: Dataset, storage: Storage) -> DatasetDetail:
    return DatasetDetail(**_fields(dataset), preview=list(_preview(storage.path(dataset.path))))


def _preview(path: Path) -> Iterator[Conversation]:
    with path.open("rb") as file:
        for number, line in enumerate(itertools.islice(file, PREVIEWED_ROWS), start=1):
            try:
                turns = parse_row(json.loads(line), number)
            except RowError:
                # An earlier version accepted this row; a job that trains on it fails and reports the line.
                continue
            yield Conversation(
                messages=[
                    Turn(role=turn.role, content=turn.content[:PREVIEWED_CHARACTERS])
                    for turn in turns
                ]
            )
