"""Describes pydantic's validation errors in the caller's language."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.errors.base import FieldError
from app.errors.field_words import field_message
from contracts.failure import Language

OF_NO_FIELD = ("(", "[", "function-", "constrained-", "literal[")
"""Prefixes of location parts that denote a union member or a key instead of a field."""


def field_errors(
    errors: Sequence[Any],
    language: Language,
    find_bounds: Callable[[Sequence[str | int]], Mapping[str, Any]] = lambda _: {},
) -> list[FieldError]:
    """Return one error per field, with its dotted path. `errors` is the result of `ValidationError.errors()`.

    `find_bounds` returns all bounds of the number at a location; pydantic's error contains only the violated one.
    """
    by_field: dict[str | None, list[Any]] = {}
    for error in errors:
        by_field.setdefault(dotted(error["loc"]), []).append(error)
    found = []
    for param, of_field in by_field.items():
        code, message = field_message(of_field, language, find_bounds(of_field[0]["loc"]))
        found.append(FieldError(param=param, code=code, message=message))
    return found


def dotted(location: Sequence[str | int]) -> str | None:
    """Return the location of an error as a dotted path such as `dataset.train[1].weight`, without the source of the value."""
    path = ""
    for part in location[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part and not part.startswith(OF_NO_FIELD):
            path += f".{part}" if path else part
    return path or None
