"""Rules for datasets: which files are accepted, what ids datasets get, and when they can be deleted."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePath
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.datasets import store
from app.datasets.reader import Row, read_rows
from app.db.engine import Database, database_now
from app.db.ids import is_id
from app.db.tables import Dataset
from app.errors.disk import storage_errors
from app.errors.kinds import DatasetEmpty, DatasetInUse, DatasetInvalid, DatasetNotFound
from app.http.paging import Page, decode_cursor, encode_cursor
from app.http.validation import row_problem
from app.storage.data_dir import Draft, Storage
from contracts.dataset.columns import Columns
from contracts.dataset.conversation import Document, Parsed
from contracts.dataset.features import FeatureCounter, RowFeatures
from contracts.dataset.row_error import FORMS, RowError
from contracts.dataset.rows import parse_row
from contracts.failure import Language
from contracts.text import escape

SHOWN_ERRORS = 5
"""Maximum number of invalid rows in an error response."""
COUNTED_ERRORS = 100
"""Number of invalid rows after which the rest of the file is not checked."""
PREVIEWED_ROWS = 3
PREVIEWED_CHARACTERS = 1000
_BLOCK_BYTES = 1024 * 1024


class ChosenColumns(BaseModel):
    """The choice made at upload."""

    format: str | None
    columns: dict[str, str]
    """Name of the column in the file by the name that the format knows."""


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
    """Number of rows per format (alpaca, prompt, messages, sharegpt, text, preference, kto)."""
    features: RowFeatures | None
    """Number of rows that need something special of a model's chat template; null for datasets of earlier versions."""
    columns: ChosenColumns | None
    """The format and columns that were chosen at upload; null if each row's own columns determine its format."""
    created_at: datetime


class Turn(BaseModel):
    """One turn of a previewed row."""

    role: str
    """`system`, `developer`, `user`, `assistant` or `tool`; empty for a row of plain text."""
    content: str
    reasoning_content: str | None = None
    tool_calls: list[str] | None = None
    """Each call as `name({arguments})`."""
    trained: bool | None = None
    """Whether the model learns this turn; null for turns that are never learned."""


class Conversation(BaseModel):
    """A previewed row."""

    messages: list[Turn]


class DatasetDetail(DatasetView):
    """One dataset, with its first rows."""

    preview: list[Conversation]
    """As used for training; long text is truncated."""


class Deleted(BaseModel):
    """A deleted dataset."""

    object: Literal["dataset"] = "dataset"
    id: str
    deleted: Literal[True] = True


def add_dataset(
    database: Database,
    storage: Storage,
    file: BinaryIO,
    filename: str,
    *,
    columns: Columns,
    language: Language,
) -> tuple[DatasetDetail, bool]:
    """Check and store an uploaded file; return the dataset and whether it is new. The file is read outside a transaction."""
    sha256, length = _hash(file)
    dataset_id = _dataset_id(sha256, columns)
    with database.reading() as session:
        known = store.find_dataset(session, dataset_id)
        if known is not None:
            return _detail(known, storage), False
    with storage_errors(), storage.draft() as draft:
        file.seek(0)
        forms, features = _write_rows(file, draft, columns, language)
        path = storage.dataset(dataset_id)
        draft.keep(path)
    row = {
        "id": dataset_id,
        "filename": escape(PurePath(filename.replace("\\", "/")).name)[:255] or "file",
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
        is_new = store.insert_dataset(session, row | {"created_at": database_now(session)})
        detail = get_dataset(session, storage, dataset_id)
    if not is_new:
        storage.delete(path)
    return detail, is_new


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


def _hash(file: BinaryIO) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


def _dataset_id(sha256: str, columns: Columns) -> str:
    """Return the id of a file with these bytes. The same bytes with other columns are another dataset."""
    if columns.are_chosen:
        sha256 = hashlib.sha256(f"{sha256}{columns.key}".encode()).hexdigest()
    return f"ds_{sha256[:24]}"


def _write_rows(
    file: BinaryIO, draft: Draft, columns: Columns, language: Language
) -> tuple[Counter[str], RowFeatures]:
    """Write the rows as JSONL, and count them by format and what they need. Raises DatasetInvalid with the first invalid rows."""
    forms: Counter[str] = Counter()
    features = FeatureCounter()
    wrong: list[str] = []
    for found in read_rows(file):
        written = found if isinstance(found, RowError) else _write_row(found, draft, columns)
        if not isinstance(written, RowError):
            forms[written.form] += 1
            features.add(written)
            continue
        number = found.number if isinstance(found, Row) else None
        wrong.append(row_problem(written, number, language))
        if len(wrong) >= COUNTED_ERRORS:
            break
    if wrong:
        more = " …" if len(wrong) > SHOWN_ERRORS else ""
        raise DatasetInvalid(
            "file",
            count=len(wrong),
            problems="; ".join(wrong[:SHOWN_ERRORS]) + more,
            expected=FORMS[language],
        )
    if not forms:
        raise DatasetEmpty("file")
    return forms, features.features()


def _write_row(row: Row, draft: Draft, columns: Columns) -> Parsed | RowError:
    try:
        arranged = columns.arrange(row.value, row.line)
        parsed = parse_row(arranged, row.line)
        draft.write(_encode(arranged) + b"\n")
    except RowError as error:
        return columns.explain(error)
    return parsed


def _encode(value: Any) -> bytes:
    # UTF-8 cannot encode an unpaired surrogate. parse_row accepts one only in columns that are not trained on.
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


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


def _detail(dataset: Dataset, storage: Storage) -> DatasetDetail:
    return DatasetDetail(**_fields(dataset), preview=list(_preview(dataset, storage)))


def _preview(dataset: Dataset, storage: Storage) -> Iterator[Conversation]:
    with storage.path(dataset.path).open("rb") as file:
        for number, line in enumerate(itertools.islice(file, PREVIEWED_ROWS), start=1):
            try:
                row = parse_row(json.loads(line), number)
            except RowError:
                # An earlier version accepted this row; a job that trains on it fails and reports the line.
                continue
            yield _previewed(row)


def _previewed(row: Parsed) -> Conversation:
    """Return the row with long texts truncated. A document is one turn without a role."""
    if isinstance(row, Document):
        return Conversation(messages=[Turn(role="", content=row.text[:PREVIEWED_CHARACTERS])])
    return Conversation(
        messages=[
            Turn(
                role=turn.role,
                content=turn.content[:PREVIEWED_CHARACTERS],
                reasoning_content=(turn.reasoning_content or "")[:PREVIEWED_CHARACTERS] or None,
                tool_calls=[
                    f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"[
                        :PREVIEWED_CHARACTERS
                    ]
                    for call in turn.tool_calls
                ]
                or None,
                trained=turn.trained if turn.is_answer else None,
            )
            for turn in row.turns
        ]
    )
