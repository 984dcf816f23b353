"""The child's work: checks the rows, stores them as JSONL, reviews them, and reports the dataset or the reason for rejecting it."""

import errno
import os
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from app.datasets.conversion.request import Limits
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Rejected
from app.datasets.intake import check_rows
from app.datasets.refusal import Refused
from app.datasets.review.origins import Origins, relocate
from app.datasets.review.process import review_file
from app.datasets.upload import Upload
from app.datasets.validation.request import (
    ACCEPTED,
    NO_ROOM,
    PROGRESS,
    REFUSED,
    CheckRequest,
    pack,
)
from app.storage.data_dir import Draft, Storage
from contracts.dataset.columns.mapping import Columns

PROGRESS_SECONDS = 0.5
"""Time between progress reports."""
REVIEW_SECONDS = 120.0
"""Maximum time for a review. It is enough for the first 1 to 2 GB of rows, and shorter than the server's `SILENT_SECONDS`."""
REVIEW_SHARE = 0.5
"""Maximum share of the check's remaining time that a review may take."""


class Output(Protocol):
    """The stream to which messages are written."""

    def write(self, content: bytes, /) -> object:
        """Write a message immediately, without buffering."""


def check(file: BinaryIO, request: CheckRequest, output: Output) -> None:
    """Check a file; write the progress and the result."""
    progress = _Progress(file, output)
    try:
        output.write(pack(ACCEPTED, _store(file, request, progress)))
    except Refused as refused:
        output.write(pack(REFUSED, refused.dump()))
    except MemoryError:
        limit = request.limits.memory_bytes
        error = FileError(FileProblem.CHECK_MEMORY, limit=limit, rows=progress.rows)
        output.write(pack(REFUSED, _unreadable(error).dump()))
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno == errno.EFBIG:  # the limit of confine
            limit = request.limits.unpacked_bytes
            too_large = FileError(FileProblem.UNPACKED_TOO_LARGE, limit=limit)
            output.write(pack(REFUSED, _unreadable(too_large).dump()))
        else:
            output.write(pack(NO_ROOM, error.errno))


def _store(file: BinaryIO, request: CheckRequest, progress: "_Progress") -> dict[str, Any]:
    """Return the columns of the dataset's row. Raises Refused or OSError."""
    limits = replace(
        request.limits, seconds=min(request.conversion_seconds, request.limits.seconds)
    )
    upload = Upload(file, request.filename, request.encoding, limits)
    columns = Columns(request.columns["format"], request.columns["columns"])
    place = Path(request.draft)
    with place.open("wb") as rows:
        draft = Draft(Storage(Path(request.data_dir)), place, rows)
        origins = Origins()
        checked = check_rows(upload, draft, columns, progress.notice, origins)
        rows.flush()
        progress.finish()
        used_seconds = time.monotonic() - progress.started_at
        review_limits = _review_limits(request, used_seconds)
        reviewed = _review(draft, checked.rows, origins, columns, review_limits)
        draft.keep(request.path)
    return reviewed | {
        "sha256": draft.sha256,
        "bytes": draft.bytes,
        "rows": checked.rows,
        "forms": checked.forms,
        "features": checked.features.model_dump(mode="json"),
        "path": request.path,
    }


def _review(
    draft: Draft, rows: int, origins: Origins, columns: Columns, limits: Limits
) -> dict[str, Any]:
    """Return the review of the accepted rows and their hashes; empty if the review is not possible."""
    reviewed = review_file(draft.path, rows, limits)
    if reviewed is None:
        return {}
    located = relocate(reviewed.review, origins, columns.sources)
    return {
        "review": located.model_dump(mode="json"),
        "hashes": b64encode(reviewed.hashes).decode(),
    }


def _review_limits(request: CheckRequest, used_seconds: float) -> Limits:
    """Return the limits of the review. It gets only part of the remaining time, so that the check does not time out."""
    limits, left = request.review_limits, request.limits.seconds - used_seconds
    seconds = min(limits.seconds, REVIEW_SECONDS, REVIEW_SHARE * left)
    # The kernel does not let a child have more memory than its parent.
    memory = min(limits.memory_bytes, request.limits.memory_bytes)
    return replace(limits, seconds=max(0.1, seconds), memory_bytes=memory)


class _Progress:
    """Reports how much of the file has been read, a few times a second."""

    def __init__(self, file: BinaryIO, output: Output) -> None:
        self._file = file
        self._output = output
        self._due_at = self.started_at = time.monotonic()
        self.rows = 0

    def notice(self, rows: int) -> None:
        """Record the number of rows, and report it if a report is due."""
        self.rows = rows
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + PROGRESS_SECONDS
        self.finish()

    def finish(self) -> None:
        """Report the number of rows so far."""
        # A conversion's child process shares this descriptor, and thus its position.
        position = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        self._output.write(pack(PROGRESS, position, self.rows))


def _unreadable(error: FileError) -> Refused:
    return Refused("dataset_unreadable", [Rejected(error)])
