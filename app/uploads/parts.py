"""Adds parts to uploads in parts, each once even if the client sends it again."""

import hashlib
from secrets import token_hex
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.db.engine import Database, database_now
from app.db.ids import new_id
from app.db.tables import PartialUpload, UploadPart
from app.errors.disk import storage_errors
from app.errors.kinds import PartsTooLarge, TooManyParts, UploadNotFound
from app.storage.data_dir import Storage
from app.uploads import service, store
from app.uploads.schemas import MOST_PARTS, PartView

_BLOCK_BYTES = 1024 * 1024


def add_part(
    database: Database,
    storage: Storage,
    upload_id: str,
    data: BinaryIO,
    key: str | None = None,
    *,
    is_retry: bool = False,
) -> PartView:
    """Store a part. Its file is written outside a transaction. With a `key`, a repetition returns the first part.

    `is_retry`: without a key, return the newest part with the same content if there is one.
    """
    with database.reading() as session:
        service.require_pending(session, service.require(session, upload_id))
    file_id = new_id("part")
    with storage_errors(), storage.draft() as draft:
        data.seek(0)
        while block := data.read(_BLOCK_BYTES):
            draft.write(block)
        path = storage.upload_part(upload_id, file_id)
        draft.keep(path)
    beginning = _part_id(upload_id, draft.sha256, 16)
    part_id = _part_id(upload_id, key, 24) if key is not None else beginning + token_hex(4)
    part = UploadPart(id=part_id, upload_id=upload_id, bytes=draft.bytes, path=path)
    try:
        with database.writing() as session:
            upload = _lock_pending(session, upload_id)
            stored = None
            if key is not None:
                stored = store.find_part(session, part_id)
            elif is_retry:
                stored = store.find_newest_part(session, upload_id, beginning)
            found = stored or _insert(session, upload, part)
            shown = PartView(
                id=found.id, created_at=int(found.created_at.timestamp()), upload_id=upload_id
            )
    except Exception:
        storage.delete(path)
        raise
    if stored is not None:
        storage.delete(path)
    return shown


def _part_id(upload_id: str, text: str, digits: int) -> str:
    """Return the id, or its beginning, of the part that a key or a content names."""
    return f"part_{hashlib.sha256(f'{upload_id} {text}'.encode()).hexdigest()[:digits]}"


def _lock_pending(session: Session, upload_id: str) -> PartialUpload:
    upload = store.lock_upload(session, upload_id)
    if upload is None:
        raise UploadNotFound(upload=upload_id)
    service.require_pending(session, upload)
    return upload


def _insert(session: Session, upload: PartialUpload, part: UploadPart) -> UploadPart:
    count, received = store.sum_parts(session, upload.id)
    if count >= MOST_PARTS:
        raise TooManyParts("data", limit=MOST_PARTS)
    if received + part.bytes > upload.bytes:
        raise PartsTooLarge("data", received=received + part.bytes, bytes=upload.bytes)
    part.created_at = database_now(session)
    store.insert_part(session, part)
    return part
