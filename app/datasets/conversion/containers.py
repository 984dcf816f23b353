"""Detects a file's type, unpacks it, and reads its rows."""

import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Literal, cast

from app.datasets.conversion.archive import data_files
from app.datasets.conversion.budget import Budget, Unpacked
from app.datasets.conversion.csv_rows import read_csv
from app.datasets.conversion.encoding import find_encoding
from app.datasets.conversion.request import Encoding, Request
from app.datasets.files.file_error import FileError, FileProblem, other_kind
from app.datasets.files.file_kind import (
    COMPRESSED,
    HEAD_BYTES,
    FileKind,
    find_binary_kind,
    find_text_kind,
)
from app.datasets.files.found import Found, Rejected
from app.datasets.files.json_rows import Text, read_json


def read_file(file: BinaryIO, request: Request, budget: Budget) -> Iterator[Found]:
    """Yield each row, or its error. Raises MemoryError, or OSError if a temporary file cannot be written."""
    name = ""
    try:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if find_binary_kind(head) != "zip":
            yield from _read_compressed(file, request, budget)
            return
        for name, entry in data_files(file, budget):
            for found in _read_entry(entry, name, request, budget):
                yield replace(found, file=name)
    except FileError as error:
        yield Rejected(error, file=error.file or name)


def _read_compressed(file: BinaryIO, request: Request, budget: Budget) -> Iterator[Found]:
    kind = find_binary_kind(file.read(HEAD_BYTES))
    file.seek(0)
    if kind not in ("gzip", "zstd"):
        yield from _read_stream(file, request.filename, request.encoding, is_plain=True)
        return
    name = request.filename.rpartition(".")[0]
    yield from _read_stream(_unpacked(file, kind, budget), name, request.encoding, is_plain=False)


def _read_entry(file: BinaryIO, name: str, request: Request, budget: Budget) -> Iterator[Found]:
    """Read a file of an archive, which may be in gzip or zstd."""
    head = file.read(HEAD_BYTES)
    stream = cast("BinaryIO", Prefixed(head, file))
    kind = find_binary_kind(head)
    if kind in ("gzip", "zstd"):
        stream, name = _unpacked(stream, kind, budget), name.rpartition(".")[0]
    yield from _read_stream(stream, name, request.encoding, is_plain=False)


def _unpacked(file: BinaryIO, kind: Literal["gzip", "zstd"], budget: Budget) -> BinaryIO:
    if kind == "gzip":
        damage: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
        source: BinaryIO = cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    else:
        from pyarrow import CompressedInputStream  # noqa: PLC0415  # JSON and CSV do not need it

        damage = (OSError,)
        source = CompressedInputStream(file, "zstd")
    stream = io.BufferedReader(Unpacked(source, kind, budget, damage), HEAD_BYTES)
    return cast("BinaryIO", stream)


def _read_stream(
    stream: BinaryIO, name: str, encoding: Encoding | None, *, is_plain: bool
) -> Iterator[Found]:
    """Read a data file. An uncompressed file is seekable; others are unpacked while they are read."""
    head = stream.read(HEAD_BYTES)
    if is_plain:
        stream.seek(0)
    else:
        stream = cast("BinaryIO", Prefixed(head, stream))
    kind = find_binary_kind(head)
    if kind is None:
        yield from _read_text(stream, head, name, encoding)
    elif kind in COMPRESSED:
        raise FileError(FileProblem.NESTED) if not is_plain else other_kind(kind)
    else:
        yield from _read_table(stream, kind, is_plain=is_plain)


def _read_text(
    stream: BinaryIO, head: bytes, name: str, requested: Encoding | None
) -> Iterator[Found]:
    encoding = find_encoding(head, requested)
    # The head may end within a character.
    start = head.decode(encoding, errors="ignore")
    if "\0" in start:
        line = start[: start.index("\0")].count("\n") + 1
        raise FileError(FileProblem.NUL, line)
    kind = find_text_kind(start, name)
    if kind == "json":
        yield from read_json(stream, encoding)
    elif kind == "plain_text":
        raise other_kind(kind)
    else:
        yield from read_csv(Text(stream, encoding), is_tsv=kind == "tsv")


def _read_table(stream: BinaryIO, kind: FileKind, *, is_plain: bool) -> Iterator[Found]:
    if kind not in ("parquet", "arrow_file", "arrow_stream"):
        raise other_kind(kind)
    from app.datasets.conversion import arrow_rows  # noqa: PLC0415  # JSON and CSV do not need pyarrow

    if kind == "arrow_stream":
        yield from arrow_rows.read_arrow(stream, is_stream=True)
        return
    read = arrow_rows.read_parquet if kind == "parquet" else arrow_rows.read_arrow
    if is_plain:
        yield from read(stream)
        return
    # These formats store their metadata at the end.
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked)
        unpacked.seek(0)
        yield from read(unpacked)


class Prefixed(io.RawIOBase):
    """A stream whose first bytes have already been read."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, or fewer only at the end: Arrow interprets a short read as the end of the file."""
        if size < 0:
            taken, self._head = self._head + self._rest.read(), b""
            return taken
        taken, self._head = self._head[:size], self._head[size:]
        return taken + self._rest.read(size - len(taken)) if len(taken) < size else taken
