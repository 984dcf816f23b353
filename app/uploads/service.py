"""Rules for uploads: which are accepted, when they end, and how their parts become a dataset."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.datasets.conversion.request import Encoding, Limits
from app.datasets.service import add_dataset
from app.datasets.upload import Upload
from app.db.engine import Database, database_now
from app.db.ids import is_id, new_id
from app.db.tables import PartialUpload, UploadPart
from app.errors.disk import storage_errors
from app.errors.kinds import (
    Md5Mismatch,
    TooManyUploads,
    UploadEnded,
    UploadNotFound,
    UploadPartNotFound,
    UploadSizeMismatch,
    UploadTooLarge,
)
from app.files import service as files
from app.storage.data_dir import Draft, Storage
from app.uploads import store
from app.uploads.schemas import (
    Completion,
    NewUpload,
    UploadView,
)
from contracts.dataset.columns.mapping import Columns
from contracts.failure import Language
from contracts.values.text import escape

MOST_PENDING = 100
"""Maximum number of uploads that may be open at the same time."""
DEFAULT_SECONDS = 3600
"""How long an upload accepts parts unless the request says otherwise."""
KEPT = timedelta(days=7)
"""How long an upload can still be read after it has ended."""
_EXPIRED_AT_ONCE = 100
_BLOCK_BYTES = 1024 * 1024


def create_upload(session: Session, new: NewUpload, max_bytes: int) -> UploadView:
    """Store a new upload, which has no parts yet."""
    if new.bytes > max_bytes:
        raise UploadTooLarge("bytes", bytes=new.bytes, limit=max_bytes)
    count = store.count_pending(session)
    if count >= MOST_PENDING:
        raise TooManyUploads(count=count)
    now = database_now(session)
    seconds = new.expires_after.seconds if new.expires_after else DEFAULT_SECONDS
    upload = PartialUpload(
        id=new_id("upload"),
        filename=escape(new.filename)[:255],
        bytes=new.bytes,
        status="pending",
        created_at=now,
        expires_at=now + timedelta(seconds=seconds),
        file_seconds=new.expires_after.seconds if new.expires_after else None,
    )
    store.insert_upload(session, upload)
    return view(session, upload)


def complete_upload(
    database: Database,
    storage: Storage,
    upload_id: str,
    completion: Completion,
    *,
    columns: Columns,
    encoding: Encoding | None,
    limits: Limits,
    review_limits: Limits,
    background_bytes: int,
    language: Language,
) -> UploadView:
    """Join the parts, check and store the dataset, and end the upload. A repeated request returns the completed upload.

    A large file is checked later. If a smaller one is rejected, the upload stays open: its parts cannot be replaced, but `part_ids` may have
    been wrong.
    """
    with database.reading() as session:
        upload = require(session, upload_id)
        if upload.status == "completed":
            return view(session, upload)
        require_pending(session, upload)
        parts = _choose(store.list_parts(session, upload_id), completion.part_ids)
        filename, declared = upload.filename, upload.bytes
    received = sum(part.bytes for part in parts)
    if received != declared:
        raise UploadSizeMismatch("part_ids", received=received, bytes=declared)
    paths: list[str] = []

    def end(session: Session, dataset_id: str, is_new: bool) -> None:
        locked = store.lock_upload(session, upload_id)
        if locked is None:
            raise UploadNotFound(upload=upload_id)
        if locked.status != "completed":  # another request may have completed it
            require_pending(session, locked)
            file_id = files.new_file_id()
            files.insert_file(
                session,
                file_id,
                dataset_id,
                filename=filename,
                size=declared,
                is_new=is_new,
                seconds=locked.file_seconds,
            )
            now = database_now(session)
            store.mark_ended(
                session, upload_id, "completed", now, dataset_id=dataset_id, file_id=file_id
            )
            paths.extend(store.delete_parts(session, upload_id))

    with storage_errors(), storage.draft() as draft:
        try:
            md5 = _join(storage, parts, draft)
        except FileNotFoundError:  # another request may have ended the upload and deleted its parts
            with database.reading() as session:
                upload = require(session, upload_id)
                if upload.status == "completed":
                    return view(session, upload)
                require_pending(session, upload)
            raise
        if completion.md5 is not None and md5 != completion.md5.lower():
            raise Md5Mismatch("md5", found=md5, declared=completion.md5.lower())
        with draft.path.open("rb") as file:
            add_dataset(
                database,
                storage,
                Upload(file, filename, encoding, limits),
                columns=columns,
                limits=review_limits,
                background_bytes=background_bytes,
                language=language,
                also=end,
            )
    for path in paths:
        storage.delete(path)
    with database.reading() as session:
        return view(session, require(session, upload_id))


def _join(storage: Storage, parts: Sequence[UploadPart], draft: Draft) -> str:
    """Write the parts to the draft; return their MD5. Raises FileNotFoundError if a part has been deleted."""
    md5 = hashlib.md5(usedforsecurity=False)
    for part in parts:
        with storage.path(part.path).open("rb") as source:
            while block := source.read(_BLOCK_BYTES):
                draft.write(block)
                md5.update(block)
    draft.file.flush()
    return md5.hexdigest()


def cancel_upload(database: Database, storage: Storage, upload_id: str) -> UploadView:
    """End an upload and delete its parts. A repeated request changes nothing."""
    storage.give_up_reserve()
    paths: list[str] = []
    with database.writing() as session:
        upload = store.lock_upload(session, upload_id) if is_id(upload_id) else None
        if upload is None:
            raise UploadNotFound(upload=upload_id[:100])
        if upload.status != "cancelled":
            require_pending(session, upload)
            store.mark_ended(session, upload_id, "cancelled", database_now(session))
            paths = store.delete_parts(session, upload_id)
            session.refresh(upload)
        found = view(session, upload)
    for path in paths:
        storage.delete(path)
    return found


def get_upload(session: Session, upload_id: str) -> UploadView:
    """Return an upload. Raises UploadNotFound."""
    return view(session, require(session, upload_id))


def end_expired(database: Database, storage: Storage) -> int:
    """End expired uploads, and delete their parts. Return the number of uploads."""
    paths: list[str] = []
    with database.reading() as session:
        now = database_now(session)
        if not store.has_ended(session, now, now - KEPT):
            return 0
    with database.writing() as session:
        expired = store.list_expired(session, now, _EXPIRED_AT_ONCE)
        for upload_id in expired:
            store.mark_ended(session, upload_id, "expired", now)
            paths += store.delete_parts(session, upload_id)
        store.forget_ended(session, now - KEPT)
    for path in paths:
        storage.delete(path)
    return len(expired)


def view(session: Session, upload: PartialUpload) -> UploadView:
    """Return an upload as users see it."""
    file = files.find_view(session, upload.file_id) if upload.file_id else None
    is_whole = upload.status == "completed"
    return UploadView(
        id=upload.id,
        bytes=upload.bytes,
        created_at=_seconds(upload.created_at),
        expires_at=_seconds(upload.expires_at),
        filename=upload.filename,
        status=upload.status,
        file=file,
        received_bytes=upload.bytes if is_whole else store.sum_parts(session, upload.id)[1],
    )


def require(session: Session, upload_id: str) -> PartialUpload:
    """Return an upload. Raises UploadNotFound."""
    upload = store.find_upload(session, upload_id) if is_id(upload_id) else None
    if upload is None:
        raise UploadNotFound(upload=upload_id[:100])
    return upload


def require_pending(session: Session, upload: PartialUpload) -> None:
    """Raise UploadEnded if an upload no longer accepts parts."""
    if upload.status == "pending" and upload.expires_at < database_now(session):
        raise UploadEnded(upload=upload.id, status="expired")  # the sweep will mark it as expired
    if upload.status != "pending":
        raise UploadEnded(upload=upload.id, status=upload.status)


def _choose(parts: Sequence[UploadPart], chosen: list[str]) -> list[UploadPart]:
    """Return the parts with these ids, in this order."""
    known = {part.id: part for part in parts}
    unused = set(known)
    for number, part_id in enumerate(chosen):
        if part_id not in unused:
            raise UploadPartNotFound(f"part_ids[{number}]", part=escape(part_id))
        unused.remove(part_id)
    return [known[part_id] for part_id in chosen]


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
