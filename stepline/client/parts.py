"""Uploads a large file in parts, so that a lost connection costs one part and not the whole file. Memory does not grow with the file."""

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import httpx2

from stepline.client.errors import SteplineError
from stepline.client.transport import Transport
from stepline.client.views import UploadedPart, UploadInParts

Progress = Callable[[int, int], object]
"""Called with the number of bytes so far and in total."""

LARGE_BYTES = 64 << 20
"""Files of at least this size are sent in parts."""
PART_BYTES = 16 << 20
MOST_PARTS = 10_000
"""The server's limit; the parts of a very large file are larger than PART_BYTES."""
BLOCK_BYTES = 1 << 18
CANCEL_SECONDS = 5.0
JOIN_SECONDS = 600.0
"""The server joins the parts before it answers `complete`."""


def upload_in_parts(
    transport: Transport,
    file: BinaryIO,
    filename: str,
    total: int,
    *,
    params: Mapping[str, Any],
    on_progress: Progress | None = None,
    part_bytes: int = PART_BYTES,
) -> str:
    """Upload the `total` bytes of a file and return the id of the dataset, which may still be checked.

    A part is repeated as `Transport.send` repeats a request, with an idempotency key, so that it is stored once. If the
    upload fails or is interrupted, it is cancelled, so that the server deletes its parts.
    """
    new = {"filename": filename, "bytes": total, "purpose": "fine-tune"}
    upload = transport.read(
        UploadInParts, "POST", "/v1/uploads", json=new | {"mime_type": "application/octet-stream"}
    )
    path = f"/v1/uploads/{upload.id}"
    part_bytes = max(part_bytes, -(-total // MOST_PARTS))
    md5 = hashlib.md5(usedforsecurity=False)
    try:
        ids = []
        for start in range(0, total, part_bytes):
            part = _Part(file, start, min(part_bytes, total - start), total, on_progress)
            part.add_to(md5)
            ids.append(part.send(transport, f"{path}/parts"))
        completed = transport.read(
            UploadInParts,
            "POST",
            f"{path}/complete",
            json={"part_ids": ids, "md5": md5.hexdigest()},
            params=dict(params),
            timeout=httpx2.Timeout(JOIN_SECONDS, connect=10.0),
        )
    except BaseException:  # also an interruption
        with contextlib.suppress(SteplineError):
            # A user who has pressed Ctrl-C does not wait for a server that does not answer.
            transport.send("POST", f"{path}/cancel", repeatable=False, timeout=CANCEL_SECONDS)
        raise
    if completed.file is None:
        raise SteplineError(f"The dataset of upload {upload.id} has been deleted. Upload it again")
    return completed.file.dataset_id


class _Part:
    """A range of a file as a multipart form, which can be read several times."""

    def __init__(
        self, file: BinaryIO, start: int, size: int, total: int, on_progress: Progress | None
    ) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._total = total
        self._on_progress = on_progress
        self._boundary = uuid.uuid4().hex
        head = 'Content-Disposition: form-data; name="data"; filename="part"'
        self._head = f"--{self._boundary}\r\n{head}\r\n\r\n".encode()
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()

    def add_to(self, digest: "hashlib._Hash") -> None:
        """Add the bytes to a digest."""
        for block in self._blocks():
            digest.update(block)

    def send(self, transport: Transport, path: str) -> str:
        """Send the part; return its id."""
        headers = {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(len(self._head) + self._size + len(self._tail)),
            "Idempotency-Key": self._boundary,
        }
        part = transport.read_body(UploadedPart, "POST", path, self._body, headers=headers)
        return part.id

    def _body(self) -> Iterator[bytes]:
        done = self._start
        yield self._head
        for block in self._blocks():
            yield block
            done += len(block)
            if self._on_progress is not None:
                self._on_progress(done, self._total)
        yield self._tail

    def _blocks(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        left = self._size
        while left:
            block = self._file.read(min(BLOCK_BYTES, left))
            if not block:
                raise SteplineError(
                    "The file became shorter while it was uploaded. Upload it again"
                )
            left -= len(block)
            yield block
