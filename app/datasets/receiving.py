"""Receives an uploaded file, either as part of a multipart form or as the request body."""

from collections.abc import AsyncIterator
from email.message import Message
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import Depends, File, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator
from starlette.concurrency import run_in_threadpool

from app.config.settings import Settings
from app.datasets.conversion.request import Encoding, Limits
from app.datasets.upload import Upload
from app.errors.disk import storage_errors
from contracts.field_error import FieldProblem, field_error

RAW_TYPES = {
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/jsonlines": ".jsonl",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/vnd.apache.arrow.stream": ".arrow",
    "application/gzip": ".gz",
    "application/x-gzip": ".gz",
    "application/zstd": ".zst",
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/octet-stream": "",
}
"""Media types of a raw file body, with the file extension to use if the request has no file name."""
RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The OpenAPI description of a raw file body. The other media types in RAW_TYPES are also accepted."""
_MEMORY_BYTES = 1024 * 1024


def require_file(part: Any) -> Any:
    """Reject a form field that is not a file with our own message instead of the framework's."""
    if isinstance(part, str):
        raise field_error(FieldProblem.NOT_A_FILE)
    return part


def limits_of(settings: Settings) -> Limits:
    """Return the limits of the process that reads files."""
    return Limits(
        unpacked_bytes=settings.max_unpacked_bytes,
        memory_bytes=settings.conversion_memory_bytes,
        seconds=settings.conversion_seconds,
    )


async def receive_upload(
    request: Request,
    file: Annotated[UploadFile | None, File(), BeforeValidator(require_file)] = None,
    filename: Annotated[str, Query(max_length=1000)] = "",
    encoding: Encoding | None = None,
) -> AsyncIterator[Upload]:
    """Yield the uploaded file, which is closed after the response.

    `filename` is the name of a file sent as the raw body. Short text in GB18030 or GBK needs `encoding=gb18030`, and
    UTF-16 without a byte order mark `encoding=utf-16`; UTF-8, and UTF-16 with a byte order mark, are detected.
    """
    limits = limits_of(request.app.state.settings)
    if file is not None:
        yield Upload(file.file, filename or file.filename or "", encoding, limits)
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in RAW_TYPES:
        missing = {"type": "missing", "loc": ("body", "file"), "msg": "", "input": None}
        raise RequestValidationError([missing])
    name = filename or _disposition_name(request) or f"upload{RAW_TYPES[media_type]}"
    with SpooledTemporaryFile(_MEMORY_BYTES) as body:
        with storage_errors():
            await _write(request, body)
        yield Upload(cast("BinaryIO", body), name, encoding, limits)


async def _write(request: Request, file: Any) -> None:
    block = bytearray()
    async for chunk in request.stream():
        block += chunk
        if len(block) >= _MEMORY_BYTES:
            await run_in_threadpool(file.write, bytes(block))
            block.clear()
    file.write(bytes(block))


def _disposition_name(request: Request) -> str:
    """Return the file name from either form of the Content-Disposition header (RFC 6266), or ""."""
    header = Message()
    header["Content-Disposition"] = request.headers.get("content-disposition", "")
    try:
        return header.get_filename("")
    except UnicodeError:  # the bytes do not match the encoding named in the header
        return ""


UploadDep = Annotated[Upload, Depends(receive_upload)]
