"""Parses the rows of a dataset. Both upload and training use this module.

Each format has a module in `formats`. A row's columns determine its format (`columns/detect`); `columns/synonyms` knows other
names of columns.
"""

import sys
from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from typing import Any

from contracts.dataset.columns.detect import ORDINARY, detect_form, detect_ordinary
from contracts.dataset.columns.synonyms import find_names, place_in_file, rename
from contracts.dataset.conversation import Conversation, Document, Parsed
from contracts.dataset.formats import preference
from contracts.dataset.row_error import RowError, RowProblem, kind_of
from contracts.dataset.values import BadValue
from contracts.values.nesting import MAX_DEPTH, TooDeep, loads

MAX_LINE_BYTES = 4 * 1024 * 1024


def parse_row(row: Any, line: int) -> Parsed:
    """Return the row as a document, or as a conversation with at least one assistant answer. Raises RowError."""
    if not isinstance(row, dict):
        raise RowError(line, RowProblem.NOT_AN_OBJECT, found=kind_of(row))
    names = find_names(row)
    try:
        return _parse(rename(row, names) if names else row)
    except BadValue as error:
        figures = error.figures
        if names and "place" in figures:
            figures = figures | {"place": place_in_file(figures["place"], names)}
        raise RowError(line, error.problem, **figures) from error


def _parse(row: dict[Any, Any]) -> Parsed:
    form = detect_form(row)
    found: Parsed
    if form == "preference":
        found = preference.read_pair(row, _parse_ordinary)
    elif form == "kto":
        found = preference.read_labelled(row, _parse_ordinary)
    else:
        found = ORDINARY[form].read(row)
    if isinstance(found, Document):
        return found
    for turn in found.turns:
        if turn.role == "assistant":
            return found
    raise BadValue(RowProblem.NO_ANSWER)


def _parse_ordinary(row: dict[Any, Any]) -> Conversation:
    form = detect_ordinary(row)
    if form == "text":
        raise BadValue(RowProblem.NO_ANSWER)
    found = ORDINARY[form].read(row)
    assert isinstance(found, Conversation)  # noqa: S101  # every other format has turns
    return found


def read_jsonl(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) for each line that is not blank. Raises RowError."""
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_BYTES:
            raise RowError(number, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
        if line.strip():
            yield number, parse_json(line, number)


def parse_json(text: str | bytes, line: int) -> Any:
    """Parse one JSON value. Raises RowError, also for input that exceeds the parser's limits."""
    try:
        return loads(text)
    except ValueError as error:
        raise json_error(line, error) from error


def json_error(line: int, error: ValueError) -> RowError:
    """Return the error for a row that is not JSON or is nested too deeply."""
    if isinstance(error, TooDeep):
        return RowError(line, RowProblem.TOO_DEEP, limit=MAX_DEPTH)
    if isinstance(error, JSONDecodeError):
        return RowError(line, RowProblem.NOT_JSON, said=error.msg)
    if isinstance(error, UnicodeError):
        return RowError(line, RowProblem.NOT_JSON, said=type(error).__name__)
    return RowError(line, RowProblem.LONG_NUMBER, limit=sys.get_int_max_str_digits())
