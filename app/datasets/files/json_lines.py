"""Reads JSONL in UTF-8 line by line with a fast parser. Lines that it rejects go to the parser of `json_rows`.

The fast parser accepts a subset of what `json.loads` accepts and returns the same values, except that integers beyond 64 bits
become floats. The exact parser decides about all other lines, and describes their errors.
"""

from collections.abc import Iterator
from typing import Protocol

import orjson

from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Found, Rejected, Row
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.rows import MAX_LINE_BYTES, parse_json
from contracts.values.nesting import check_value

BOM = b"\xef\xbb\xbf"
_MOST_READ_BYTES = 4 * MAX_LINE_BYTES + 1
"""A character takes at most four bytes."""


class Lines(Protocol):
    """A file that is read line by line."""

    def readline(self, size: int, /) -> bytes:
        """Return the next line with its line break, or its first `size` bytes; empty at the end."""


def are_lines(head: bytes) -> bool:
    """Return whether JSON text in UTF-8 that begins with `head` is JSONL rather than an array."""
    start = head.removeprefix(BOM).lstrip(b" \t\r\n")
    return bool(start) and not start.startswith(b"[")


def read_lines(file: Lines) -> Iterator[Found]:
    """Yield each row, or its error, from the start of a file. Stop at a line that is too long.

    Raises FileError at a line that is not UTF-8.
    """
    number = line_number = 0
    while line := file.readline(_MOST_READ_BYTES):
        line_number += 1
        if line_number == 1:
            line = line.removeprefix(BOM)
        row = _read_fast(line, number + 1, line_number) or _read_exactly(
            line, number + 1, line_number
        )
        if row is None:
            continue
        number += 1
        yield row
        if isinstance(row, Rejected) and row.error.problem == RowProblem.TOO_MANY_BYTES:
            return


def _read_fast(line: bytes, number: int, line_number: int) -> Row | None:
    """Return the row of a line, or None if the exact parser must decide."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        value = orjson.loads(line)
        check_value(value)
    except ValueError:
        return None
    return Row(number, line_number, value, text=line.strip())


def _read_exactly(line: bytes, number: int, line_number: int) -> Found | None:
    """Return the row of a line, or its error; None for a blank line. Raises FileError."""
    if len(line) >= _MOST_READ_BYTES:
        return _too_long(line_number)
    try:
        text = line.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise FileError(
            FileProblem.NOT_ENCODED, line_number, encoding="UTF-8", said=error.reason
        ) from error
    if not text.strip():
        return None
    if len(text) > MAX_LINE_BYTES:
        return _too_long(line_number)
    try:
        return Row(number, line_number, parse_json(text, line_number))
    except RowError as error:
        return Rejected(error)


def _too_long(line_number: int) -> Rejected:
    return Rejected(RowError(line_number, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES))
