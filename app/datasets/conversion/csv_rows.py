"""Reads comma-separated or tab-separated values row by row. The first row contains the column names."""

import csv
import json
import sys
from collections.abc import Iterator
from typing import Any

from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.file_kind import find_delimiter
from app.datasets.files.found import Found, Rejected, Row
from app.datasets.files.json_rows import Text
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.rows import MAX_LINE_BYTES
from contracts.values.nesting import TooDeep, loads

MAX_COLUMNS = 256
JSON_COLUMNS = ("messages", "conversations", "tools", "history")
"""Columns that contain lists, which CSV can represent only as JSON."""
BOOLEAN_COLUMNS = ("label", "kto_tag")
"""Columns with a label that rates the answer. In other file types, these labels are booleans."""
TURN_COLUMNS = (
    "conversation",
    "prompt",
    "completion",
    "input",
    "chosen",
    "rejected",
    "preferred_output",
    "non_preferred_output",
)
"""Columns that contain text, or turns as JSON."""


def read_csv(text: Text, *, is_tsv: bool) -> Iterator[Found]:
    """Yield each row, or its error. Stop if an error makes it unclear where the next row begins. Raises FileError."""
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        yield from _read(_Lines(text), is_tsv=is_tsv)
    except RowError as error:
        yield Rejected(error)


def _read(lines: "_Lines", *, is_tsv: bool) -> Iterator[Found]:
    first_line = lines.peek()
    delimiter = "\t" if is_tsv else find_delimiter(first_line) or ","
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    number = 0
    while True:
        lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            number += 1
            said = str(error)
            if said == "unexpected end of data" or "field larger" in said:
                yield Rejected(FileError(FileProblem.OPEN_QUOTE, lines.row_line), number)
                return
            yield Rejected(FileError(FileProblem.QUOTE, lines.row_line, said=said), number)
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue  # a blank line
        if names is None:
            names = _names(cells, lines.row_line)
            continue
        number += 1
        yield _row(names, cells, number, lines.row_line)


def _names(cells: list[str], line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) > MAX_COLUMNS:
        raise FileError(FileProblem.TOO_MANY_COLUMNS, line, found=len(names), limit=MAX_COLUMNS)
    seen = set()
    for name in names:
        if name in seen and name:
            raise FileError(FileProblem.REPEATED_COLUMN, line, column=name)
        seen.add(name)
    return names


def _row(names: list[str], cells: list[str], number: int, line: int) -> Found:
    if len(cells) != len(names):
        found, expected = len(cells), len(names)
        error = FileError(FileProblem.WIDTH, line, found=found, expected=expected)
        return Rejected(error, number)
    value: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        if not name:
            continue  # row numbers written by pandas
        if name in JSON_COLUMNS:
            if not cell.strip():
                continue
            try:
                value[name] = loads(cell)
            except ValueError as error:
                said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                if not isinstance(error, json.JSONDecodeError | TooDeep):
                    said = f"an integer of more than {sys.get_int_max_str_digits()} digits"
                problem = FileError(FileProblem.CELL_NOT_JSON, line, column=name, said=said)
                return Rejected(problem, number)
        elif name in TURN_COLUMNS:
            value[name] = _turns(cell)
        elif name in BOOLEAN_COLUMNS and cell.strip().lower() in ("true", "false"):
            value[name] = cell.strip().lower() == "true"
        else:
            value[name] = cell
    return Row(number, line, value)


def _turns(cell: str) -> Any:
    """Return the turns that a cell contains as JSON, or else its text. An answer that is any other JSON remains text."""
    if not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        value = loads(cell)
    except ValueError:
        return cell
    turns = value.get("messages") if isinstance(value, dict) and "messages" in value else value
    turns = turns if isinstance(turns, list) else [turns]
    is_turns = turns and all(
        isinstance(turn, dict) and not turn.keys().isdisjoint(("role", "from")) for turn in turns
    )
    return value if is_turns else cell


class _Lines:
    """The lines of the text, including line breaks, and the number of the line at which the current row begins."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._first: str | None = None
        self._row_characters = 0
        self.row_line = 1

    def peek(self) -> str:
        """Return the first line that is not blank."""
        while True:
            self._first_line = self._text.line
            line = self._text.take_line()
            if line is None or line.strip():
                break
        self._first = line or ""
        return self._first

    def begin_row(self) -> None:
        """Record that the next line begins a row."""
        self._row_characters = 0
        self.row_line = self._text.line if self._first is None else self._first_line

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line, self._first = self._first, None
        if line is None:
            line = self._text.take_line()
        if line is None:
            raise StopIteration
        if len(line) > MAX_LINE_BYTES:
            raise RowError(self.row_line, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
        self._row_characters += len(line) + 1
        if self._row_characters > MAX_LINE_BYTES:
            raise FileError(FileProblem.OPEN_QUOTE, self.row_line)
        if "\0" in line:
            raise FileError(FileProblem.NUL, self.row_line)
        return line + "\n"
