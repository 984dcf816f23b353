"""Writes a request's body to a draft, block by block, off the event loop."""

from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from app.errors.kinds import ChecksumMismatch
from app.storage.data_dir import Draft

_BLOCK_BYTES = 1024 * 1024


async def write_body(draft: Draft, body: AsyncIterator[bytes], announced_sha256: str) -> None:
    """Write all of a body. Raises ChecksumMismatch unless its SHA-256 is the announced one."""
    block = bytearray()
    async for chunk in body:
        block += chunk
        if len(block) >= _BLOCK_BYTES:
            await run_in_threadpool(draft.write, bytes(block))
            block.clear()
    await run_in_threadpool(draft.write, bytes(block))
    if draft.sha256 != announced_sha256.lower():
        raise ChecksumMismatch(actual=draft.sha256, announced=announced_sha256[:64])
