"""Deletes orphaned files, which have no row because a crash interrupted their storage or deletion."""

from collections.abc import Sequence
from itertools import islice

import structlog
from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import Artifact, CheckpointBlob, Dataset, DatasetValidation, UploadPart
from app.storage.data_dir import Storage

log = structlog.get_logger(__name__)

AGE_SECONDS = 3600.0
"""Age at which a file without a row counts as orphaned. A newer file may still get its row; uploads time out sooner."""
_BATCH = 500


def remove_leftovers(
    database: Database, storage: Storage, age_seconds: float = AGE_SECONDS
) -> list[str]:
    """Delete orphaned files older than `age_seconds`, and return their paths.

    Nothing is deleted if the data directory belongs to another database, which may still use the files.
    """
    if not storage.belongs_to(database.url.render_as_string(hide_password=True)):
        log.warning("the data directory belongs to another database; no orphaned files are deleted")
        return []
    removed = []
    old = storage.list_old(age_seconds)
    while paths := list(islice(old, _BATCH)):
        with database.reading() as session:
            owned = _owned(session, paths)
        for path in paths:
            if path not in owned:
                storage.delete(path)
                removed.append(path)
    if removed:
        log.info("orphaned files deleted", count=len(removed))
    return removed


def _owned(session: Session, paths: Sequence[str]) -> set[str]:
    columns = (
        Dataset.path,
        DatasetValidation.upload_path,
        Artifact.path,
        CheckpointBlob.path,
        UploadPart.path,
    )
    queries = [select(column).where(column.in_(paths)) for column in columns]
    return set(session.scalars(union_all(*queries)))
