"""Reads single values of a row. An unusable value raises BadValue, which contains its place in the row."""

import json
from typing import Any

from contracts.dataset.row_error import RowProblem, kind_of
from contracts.values.nesting import MAX_DEPTH, TooDeep, loads

MAX_CHARACTERS = 2_000_000


class BadValue(Exception):
    """A problem in a row whose line is not known yet. `parse_row` converts it to a RowError."""

    def __init__(self, problem: RowProblem, **figures: str | int) -> None:
        self.problem = problem
        self.figures = figures
        super().__init__(problem, figures)


def read_text(value: Any, place: str, expected: str = "string") -> str:
    """Return a string that can be encoded and is not too long."""
    if not isinstance(value, str):
        raise wrong_type(value, place, expected)
    if len(value) > MAX_CHARACTERS:
        raise BadValue(RowProblem.TOO_LONG, place=place, limit=MAX_CHARACTERS)
    if not value.isascii():
        check_unicode(value, place)
    return value


def read_answer(value: Any, place: str, expected: str = "string") -> str:
    """Return a string that is not empty."""
    text = read_text(value, place, expected)
    if not text:
        raise BadValue(RowProblem.EMPTY, place=place)
    return text


def read_optional(value: Any, place: str) -> str | None:
    """Return a string, or None for null or an absent column."""
    return None if value is None else read_text(value, place, "string_or_null")


def require(row: dict[Any, Any], column: str, place: str | None = None) -> Any:
    """Return the value of a column; None for null or an absent column."""
    if column not in row:
        raise BadValue(RowProblem.MISSING, place=place or column)
    return row[column]


def read_json(value: Any, place: str, expected: str) -> Any:
    """Return a value, decoding it if it is JSON in a string."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except TooDeep as error:
        raise BadValue(RowProblem.TOO_DEEP, limit=MAX_DEPTH) from error
    except ValueError as error:
        raise BadValue(
            RowProblem.WRONG_TYPE, place=place, found="text_not_json", expected=expected
        ) from error


def check_strings(value: Any, place: str) -> None:
    """Check the strings inside an object or a list."""
    check_unicode(json.dumps(value, ensure_ascii=False), place)


def check_unicode(text: str, place: str) -> None:
    """Reject a string that UTF-8 cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadValue(RowProblem.NOT_UNICODE, place=place) from error


def wrong_type(value: Any, place: str, expected: str) -> BadValue:
    """Return the error for a value of the wrong type. `expected` is a kind that `row_error` can describe."""
    return BadValue(RowProblem.WRONG_TYPE, place=place, found=kind_of(value), expected=expected)
