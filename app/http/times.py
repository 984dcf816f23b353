"""Times in query parameters: an RFC 3339 time, or a day."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from contracts.base import UtcDatetime
from contracts.field_error import FieldProblem, field_error

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def _read(value: Any) -> Any:
    """Parse an RFC 3339 time; a day means its start in UTC."""
    if not isinstance(value, str):
        return value
    try:
        if _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value.upper())
        if _DAY.fullmatch(value):
            return datetime.combine(date.fromisoformat(value), time(), UTC)
    except ValueError:
        pass
    raise field_error(FieldProblem.INVALID_TIME)


Moment = Annotated[
    UtcDatetime,
    BeforeValidator(_read),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "format": "date"},
            ]
        }
    ),
]
"""A time with its zone (RFC 3339), or a day, which means its start in UTC."""
