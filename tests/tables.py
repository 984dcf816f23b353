"""Builds upload files in every container format from rows, and reads them without a child process."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import ipc, parquet

from app.datasets.conversion import frames
from app.datasets.conversion.output import write_frames
from app.datasets.conversion.request import Encoding, Limits, Request
from app.datasets.files.found import Found, Rejected, Row

LIMITS = Limits(unpacked_bytes=40 * 1024**2, memory_bytes=1024**3, seconds=60)


def make_jsonl(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def make_parquet(rows: Sequence[Mapping[str, Any]], **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(list(rows)), file, **options)
    return file.getvalue()


def make_arrow(
    rows: Sequence[Mapping[str, Any]], *, is_stream: bool = False, batch_rows: int = 10_000
) -> bytes:
    table, file = pa.Table.from_pylist(list(rows)), io.BytesIO()
    make = ipc.new_stream if is_stream else ipc.new_file
    with make(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return file.getvalue()


def make_zip(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


class _Sink(io.BytesIO):
    """Receives frames as the server does, without keeping their bytes."""

    def __init__(self, *, keep_rows: bool) -> None:
        super().__init__()
        self._keep_rows = keep_rows
        self.found: list[Found] = []
        self.ended = False

    def write(self, frame: Any) -> int:
        assert not self.ended
        found = frames.decode(bytes(frame))
        self.ended = found is None
        if isinstance(found, Rejected) or (found is not None and self._keep_rows):
            self.found.append(found)
        return len(frame)


def read(
    content: bytes, name: str = "", encoding: Encoding | None = None, *, keep_rows: bool = True
) -> list[Found]:
    """Return what the child process would send for a file. This process reads it, without kernel limits."""
    sink = _Sink(keep_rows=keep_rows)
    write_frames(io.BytesIO(content), Request(name, encoding, LIMITS), sink)
    assert sink.ended
    return sink.found


def read_values(content: bytes, name: str = "", encoding: Encoding | None = None) -> list[Any]:
    """Return the rows of a file that has no problems."""
    found = read(content, name, encoding)
    assert all(isinstance(each, Row) for each in found), found
    return [each.value for each in found if isinstance(each, Row)]


def describe(found: Sequence[Found]) -> list[str]:
    """Return the problems as users see them."""
    return [each.describe("en") for each in found if isinstance(each, Rejected)]
