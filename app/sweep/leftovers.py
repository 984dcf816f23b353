"""Stored files that no row names: what a crash left between a file and its row, or between a row's end and its file's."""

from collections.abc import Sequence
from itertools import islice

import structlog
from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import Artifact, CheckpointBlob, Dataset
from app.storage.data_dir import Storage

log = structlog.get_logger(__name__)

AGE_SECONDS = 3600.0
"""A younger file may be waiting for its row: uploads are bounded by their own time-outs."""
_BATCH = 500


def remove_leftovers(
    database: Database, storage: Storage, age_seconds: float = AGE_SECONDS
) -> list[str]:
    """Delete the stored files that have been nobody's for so long, and return where they lay.

    In a data directory that was last used with another database, whose files these may be, nothing is deleted.
    """
    if not storage.belongs_to(database.url.render_as_string(hide_password=True)):
        log.warning("the data directory belongs to another database; nothing is cleared in it")
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
        log.info("files that nobody owned are deleted", count=len(removed))
    return removed


def _owned(session: Session, paths: Sequence[str]) -> set[str]:
    queries = [
        select(table.path).where(table.path.in_(paths))
        for table in (Dataset, Artifact, CheckpointBlob)
    ]
    return set(session.scalars(union_all(*queries)))
