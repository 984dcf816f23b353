"""Receives an uploaded file: the request's body is written to a temporary file, checked, and moved to its final path."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from app.errors.disk import storage_errors
from app.errors.kinds import ChecksumMismatch
from app.storage.data_dir import Draft, Storage

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ReceivedFile:
    """A file that has been received in full, checked, and synced to disk."""

    path: str
    """Relative to the data directory."""
    sha256: str
    """In lower-case hexadecimal."""
    bytes: int


async def receive(
    storage: Storage,
    body: AsyncIterator[bytes],
    *,
    sha256: str,
    path: str,
    commit: Callable[[ReceivedFile], str | None],
) -> None:
    """Store a request's body at `path`, relative to the data directory, and record it with `commit`.

    `commit` runs in a thread once the file is on disk. It stores the file's row in its own transaction and returns the
    path of the file that the new one replaces, or None; the replaced file is then deleted. No transaction is open while
    the body arrives. If `commit` raises, the sweep deletes the file later.

    Raises ChecksumMismatch if the body does not have the given SHA-256, StorageFull if the disk is full, or
    StorageUnavailable if the disk fails.
    """
    with storage_errors(), storage.draft() as draft:
        await _write(draft, body)
        _check(draft, sha256)
        await run_in_threadpool(draft.keep, path)
    received = ReceivedFile(path=path, sha256=draft.sha256, bytes=draft.bytes)
    replaced = await run_in_threadpool(commit, received)
    if replaced is not None:
        await run_in_threadpool(storage.delete, replaced)


@asynccontextmanager
async def receiving(
    storage: Storage, body: AsyncIterator[bytes], sha256: str
) -> AsyncIterator[Draft]:
    """Yield a request's body as a temporary file, which is deleted at the end of the block. Raises the same errors as `receive`."""
    with storage_errors(), storage.draft() as draft:
        await _write(draft, body)
        _check(draft, sha256)
        yield draft


async def check_body(storage: Storage, body: AsyncIterator[bytes], sha256: str) -> None:
    """Read and check a request's body whose content is already stored; keep nothing. Raises the same errors as `receive`."""
    with storage_errors(), storage.draft() as draft:
        await _write(draft, body)
        _check(draft, sha256)


async def _write(draft: Draft, body: AsyncIterator[bytes]) -> None:
    block = bytearray()
    async for chunk in body:
        block += chunk
        if len(block) >= _BLOCK_BYTES:
            await run_in_threadpool(draft.write, bytes(block))
            block.clear()
    await run_in_threadpool(draft.write, bytes(block))


def _check(draft: Draft, sha256: str) -> None:
    if draft.sha256 != sha256.lower():
        raise ChecksumMismatch(actual=draft.sha256, announced=sha256[:64])
