"""Limits how deeply JSON may be nested. JSON parsers have different limits."""

import json
import re
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100
"""Maximum levels of nested arrays and objects. A dataset row needs 4, a JobSpec 5."""

_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)
_NESTING = (dict, list)
_BRACKETS = re.compile(r"[\[\]{}]")


class TooDeep(ValueError):
    """JSON nested deeper than MAX_DEPTH levels."""

    def __init__(self) -> None:
        super().__init__(f"nested deeper than {MAX_DEPTH} levels")


def loads(text: str | bytes) -> Any:
    """Parse one JSON value as `json.loads` does. Raises TooDeep, or another ValueError if it is not JSON."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise TooDeep from error
    except json.JSONDecodeError:
        check_text(text)
        raise
    check_value(value)
    return value


def check_value(value: Any) -> None:
    """Raise TooDeep if a parsed value is nested too deeply. Takes a fraction of the parsing time."""
    level = [value] if isinstance(value, _NESTING) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner for outer in level for inner in _within(outer) if isinstance(inner, _NESTING)
        ]
        if not level:
            return
    raise TooDeep


def check_text(text: str, start: int = 0, end: int | None = None) -> None:
    """Raise TooDeep if a piece of JSON text, which may be incomplete, is nested too deeply."""
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", text[start:end])):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise TooDeep


def _within(value: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
