"""Reads tables in Parquet and Arrow, one batch of rows at a time."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa
from pyarrow import ipc, parquet

from app.datasets.conversion.csv_rows import MAX_COLUMNS
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Found, Rejected, Row
from contracts.values.nesting import MAX_DEPTH

MAX_ROWS = 100_000_000
MAX_BATCH_ROWS = 256
BATCH_BYTES = 16 * 1024 * 1024
"""Amount of data to convert at a time. For a Parquet file, also the amount to read, based on the sizes it declares."""
BUFFER_BYTES = 1024 * 1024
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError, ValueError, OverflowError)

T = TypeVar("T")


def read_parquet(file: BinaryIO) -> Iterator[Found]:
    """Yield each row, or its error. Raises FileError or MemoryError."""
    # With pre_buffer, the library would keep everything it has read in memory.
    options = {"buffer_size": BUFFER_BYTES, "pre_buffer": False}
    table = _guard("parquet", lambda: parquet.ParquetFile(file, **options))
    claimed = table.metadata.num_rows
    if not 0 <= claimed <= MAX_ROWS:
        raise FileError(FileProblem.TOO_MANY_ROWS, found=claimed, limit=MAX_ROWS)
    _check_columns(_guard("parquet", lambda: table.schema_arrow))
    groups = [table.metadata.row_group(n) for n in range(table.metadata.num_row_groups)]
    content_bytes = sum(max(group.total_byte_size, 0) for group in groups)
    rows = min(MAX_BATCH_ROWS, max(1, BATCH_BYTES * claimed // max(1, content_bytes)))
    batches = table.iter_batches(batch_size=rows, use_threads=False)
    number = 0
    for found in _read_batches("parquet", batches):
        number += 1
        yield found
    if number != claimed:
        raise FileError(FileProblem.FEWER_ROWS, claimed=claimed, found=number)


def read_arrow(file: BinaryIO, *, is_stream: bool = False) -> Iterator[Found]:
    """Yield each row of an IPC stream or file, or its error. Raises FileError or MemoryError."""
    kind = "arrow_stream" if is_stream else "arrow_file"
    options = ipc.IpcReadOptions(use_threads=False)
    if is_stream:
        stream = _guard(kind, lambda: ipc.open_stream(file, options=options))
        _check_columns(stream.schema)
        yield from _read_batches(kind, iter(stream))
        return
    table = _guard(kind, lambda: ipc.open_file(file, options=options))
    _check_columns(table.schema)
    batches = (table.get_batch(n) for n in range(table.num_record_batches))
    yield from _read_batches(kind, batches)


def _check_columns(schema: pa.Schema) -> None:
    if len(schema.names) > MAX_COLUMNS:
        found = len(schema.names)
        raise FileError(FileProblem.TOO_MANY_COLUMNS, found=found, limit=MAX_COLUMNS)
    seen = set()
    for name in schema.names:
        if name in seen:
            raise FileError(FileProblem.REPEATED_COLUMN, column=name)
        seen.add(name)
    _check_depth([field.type for field in schema])


def _check_depth(types: list[pa.DataType]) -> None:
    """Reject columns with deeply nested values, before any recursive code processes them."""
    for _ in range(MAX_DEPTH):
        types = [kind.field(n).type for kind in types for n in range(kind.num_fields)]
        if not types:
            return
    raise FileError(FileProblem.TOO_DEEP, limit=MAX_DEPTH)


def _read_batches(kind: str, batches: Iterator[pa.RecordBatch]) -> Iterator[Found]:
    number = 0
    while True:
        batch = _guard(kind, lambda: next(batches, None), number)
        if batch is None:
            return
        # The offsets in a file cannot be trusted. Text is checked row by row below.
        _guard(kind, batch.validate, number)
        rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * batch.num_rows // max(1, batch.nbytes)))
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows)
            try:
                values = part.to_pylist()
            except _DAMAGE:
                values = [None] * part.num_rows
                is_readable = False
            else:
                is_readable = True
            for offset, value in enumerate(values):
                number += 1
                if is_readable:
                    yield Row(number, 0, _plain(value))
                else:
                    yield _read_row(part, offset, number)


def _read_row(batch: pa.RecordBatch, offset: int, number: int) -> Found:
    """Return one row of a batch that contains an unreadable value."""
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[offset].as_py()
        except UnicodeDecodeError as error:
            problem = FileError(FileProblem.CELL_NOT_UTF8, column=name, said=error.reason)
            return Rejected(problem, number)
        except _DAMAGE:
            # The value is not text, so training does not need it: for example, a time after the year 9999 or with nanoseconds.
            row[name] = None
    return Row(number, 0, _plain(row))


def _plain(value: Any) -> Any:
    """Return a value as JSON. Nulls in objects are omitted, because every row of a table has all of the table's columns."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes):
        # Some writers store text as plain bytes. Images and audio become null.
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value)  # a time or a decimal number


def _guard(kind: str, read: Callable[[], T], rows: int = 0) -> T:
    """Call `read` and return its result. Raises FileError if the file is damaged."""
    try:
        return read()
    except (MemoryError, FileError):
        raise
    except _DAMAGE as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if rows:
            said += f"; after row {rows}"
        raise FileError(FileProblem.DAMAGED, kind=kind, said=said) from error
