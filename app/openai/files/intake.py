"""Stores an uploaded file as a dataset, and finds a file's rows."""

import os

from sqlalchemy.orm import Session

from app.datasets.conversion.request import Limits
from app.datasets.readiness import require_ready
from app.datasets.service import add_dataset
from app.datasets.upload import Upload
from app.db.engine import Database
from app.files import service as files
from app.files.schemas import FileView
from app.storage.data_dir import Storage
from contracts.dataset.columns.mapping import Columns
from contracts.failure import Language
from contracts.values.text import escape


def add_file(
    database: Database,
    storage: Storage,
    upload: Upload,
    *,
    limits: Limits,
    background_bytes: int,
    seconds: int | None,
    language: Language,
) -> FileView:
    """Store a file, and its dataset unless the same bytes are already stored. Raises an AppError.

    `seconds`: the file's lifetime; None for a file that does not expire.
    """
    file_id = files.new_file_id()
    upload.file.seek(0, os.SEEK_END)
    size = upload.file.tell()

    def add(session: Session, dataset_id: str, is_new: bool) -> None:
        files.insert_file(
            session,
            file_id,
            dataset_id,
            filename=escape(upload.filename)[:255] or "file",
            size=size,
            is_new=is_new,
            seconds=seconds,
        )

    add_dataset(
        database,
        storage,
        upload,
        columns=Columns(),
        limits=limits,
        background_bytes=background_bytes,
        language=language,
        also=add,
    )
    with database.reading() as session:
        return files.get_file(session, file_id, language)


def find_content(session: Session, file_id: str) -> tuple[str, str]:
    """Return the path of a file's rows and a file name. Raises FileNotFound, DatasetValidating or DatasetFailed."""
    file, dataset = files.get_row(session, file_id)
    require_ready(dataset)
    return dataset.path, file.filename
