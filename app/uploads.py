"""A request's body into a draft, block by block, off the event loop; and what a failing disk is answered with."""

import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from app.errors import AppError, ChecksumMismatch, StorageFull, StorageUnavailable
from app.storage import Draft

_BLOCK_BYTES = 1024 * 1024


async def write_body(draft: Draft, body: AsyncIterator[bytes], announced_sha256: str) -> None:
    """Write all of a body. Raises ChecksumMismatch unless it is what was announced."""
    block = bytearray()
    async for chunk in body:
        block += chunk
        if len(block) >= _BLOCK_BYTES:
            await run_in_threadpool(draft.write, bytes(block))
            block.clear()
    await run_in_threadpool(draft.write, bytes(block))
    if draft.sha256 != announced_sha256.lower():
        raise ChecksumMismatch(actual=draft.sha256, announced=announced_sha256[:64])


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what the disk says in this block into an answer."""
    try:
        yield
    except OSError as error:
        raise storage_failure(error) from error


def storage_failure(error: OSError) -> AppError:
    """Return the answer to an error of the data directory."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull()
    return StorageUnavailable()
