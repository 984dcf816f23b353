"""Files in the data directory. Each is written under a temporary name, synced and renamed, and then never changes."""

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import structlog
from fastapi import Depends, Request

log = structlog.get_logger(__name__)

KINDS = ("datasets", "received", "artifacts", "checkpoints", "uploads")
"""Directories of stored files. A database row refers to each file in them; the sweep deletes others after an hour."""
RESERVE_BYTES = 512 * 1024
"""Size of the disk space reserved for deletions. The database must be able to write before a deletion frees space."""
ABANDONED_SECONDS = 24 * 3600
"""Age after which a temporary file counts as abandoned. Newer files may still be in use by another process."""


@dataclass(frozen=True)
class Storage:
    """The data directory."""

    root: Path

    def prepare(self) -> None:
        """Create the directories and delete abandoned temporary files."""
        for directory in (self._temporary, *(self.root / name for name in KINDS)):
            directory.mkdir(parents=True, exist_ok=True)
        for abandoned_file in self._temporary.iterdir():
            if abandoned_file.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                abandoned_file.unlink(missing_ok=True)
        self.keep_reserve()

    def keep_reserve(self) -> None:
        """Reserve disk space for deletions if enough is free."""
        if self._reserve.exists() or self._free() < 4 * RESERVE_BYTES:
            return
        with contextlib.suppress(OSError):  # another process filled the disk first
            # Random bytes, because some file systems do not allocate space for blocks of zeros.
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))

    def give_up_reserve(self) -> None:
        """Free the reserved space if the disk is nearly full. Call it before a deletion."""
        if self._free() < RESERVE_BYTES:
            self._reserve.unlink(missing_ok=True)

    @property
    def _reserve(self) -> Path:
        return self.root / "reserve"

    def _free(self) -> int:
        return shutil.disk_usage(self.root).free

    def path(self, relative: str) -> Path:
        """Return the absolute path of a stored file."""
        return self.root / relative

    def dataset(self, dataset_id: str) -> str:
        """Return a unique relative path for a dataset's rows, so that deleting an older file cannot delete them."""
        return f"datasets/{dataset_id}-{uuid.uuid4().hex[:8]}.jsonl"

    def received(self, dataset_id: str) -> str:
        """Return a unique relative path for a received file whose rows have not been checked."""
        return f"received/{dataset_id}-{uuid.uuid4().hex[:8]}"

    def artifact(self, job_id: str, attempt_id: str, sha256: str, name: str) -> str:
        """Return the relative path of an artifact, which depends on its content."""
        return f"artifacts/{job_id}/{attempt_id}/{sha256[:16]}-{name}"

    def results(self, job_id: str) -> str:
        """Return the relative path of a job's result file, which is built from its history and has no row."""
        return f"artifacts/{job_id}/step_metrics.csv"

    def checkpoint_blob(self, job_id: str, sha256: str) -> str:
        """Return a unique relative path for a checkpoint's file, so that deleting an older file cannot delete it."""
        return f"checkpoints/{job_id}/{sha256[:16]}-{uuid.uuid4().hex[:8]}"

    def checkpoint_adapter(self, job_id: str, checkpoint_id: str) -> str:
        """Return the relative path of an archive that is built from a checkpoint's files, and has no row."""
        return f"checkpoints/{job_id}/{checkpoint_id}-adapter.zip"

    def upload_part(self, upload_id: str, part_id: str) -> str:
        """Return the relative path of a part of an upload."""
        return f"uploads/{upload_id}/{part_id}"

    @contextlib.contextmanager
    def draft(self) -> Iterator["Draft"]:
        """Open a temporary file, which is deleted at the end of the block unless it was kept."""
        path = self._temporary / uuid.uuid4().hex
        with path.open("xb") as file:
            draft = Draft(self, path, file)
            try:
                yield draft
            finally:
                path.unlink(missing_ok=True)

    def delete(self, relative: str) -> None:
        """Delete a stored file if it exists. The sweep retries a failed deletion."""
        try:
            self.path(relative).unlink(missing_ok=True)
        except OSError as error:
            log.warning("a stored file could not be deleted", path=relative, problem=str(error))

    def delete_job(self, job_id: str) -> None:
        """Delete every file of a job. The sweep retries failed deletions."""
        for kind in ("artifacts", "checkpoints"):
            shutil.rmtree(self.root / kind / job_id, ignore_errors=True)

    def belongs_to(self, database: str) -> bool:
        """Return whether this directory belongs to this database. The first database that checks becomes its owner."""
        owner = self.root / "owner"
        with contextlib.suppress(FileExistsError), owner.open("x") as file:
            file.write(database)
        return owner.read_text() == database

    def list_old(self, older_than_seconds: float) -> Iterator[str]:
        """Yield the relative paths of stored files of at least this age, and remove empty directories of that age."""
        before = time.time() - older_than_seconds
        for kind in KINDS:
            for directory, _, names in os.walk(self.root / kind, topdown=False):
                for name in names:
                    path = Path(directory, name)
                    with contextlib.suppress(FileNotFoundError):
                        if path.stat().st_mtime < before:
                            yield str(path.relative_to(self.root))
                place = Path(directory)
                with contextlib.suppress(OSError):  # not empty, or already removed
                    if place.parent != self.root and place.stat().st_mtime < before:
                        place.rmdir()

    def check_writable(self) -> None:
        """Raise OSError if a file cannot be written and synced."""
        with self.draft() as draft:
            draft.write(b"x")
            os.fsync(draft.file.fileno())

    @property
    def _temporary(self) -> Path:
        return self.root / "aside"


class Draft:
    """A temporary file that is being written."""

    def __init__(self, storage: Storage, path: Path, file: BinaryIO) -> None:
        self.file = file
        self.path = path
        self.bytes = 0
        self._storage = storage
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of the content written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        """Append content."""
        self.file.write(content)
        self._digest.update(content)
        self.bytes += len(content)

    def clear(self) -> None:
        """Remove the content written so far."""
        self.file.seek(0)
        self.file.truncate()
        self.bytes = 0
        self._digest = hashlib.sha256()

    def keep(self, relative: str) -> None:
        """Sync the file, move it to this relative path, and sync the directory."""
        self.file.flush()
        os.fsync(self.file.fileno())
        target = self._storage.path(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


async def get_storage(request: Request) -> Storage:
    """Return the server's data directory."""
    storage: Storage = request.app.state.storage
    return storage


StorageDep = Annotated[Storage, Depends(get_storage)]
