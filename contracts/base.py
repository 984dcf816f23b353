"""The two kinds of contract models: strict for user input, tolerant for messages between the server and the worker."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from contracts.field_error import FieldProblem, field_error


class Strict(BaseModel):
    """User input. An unknown field or a quoted number is an error, because a typo must not cost an hour of training."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Tolerant(BaseModel):
    """A message between the server and the worker. Unknown fields are ignored: the sender may be a newer version.

    Non-finite floats are sent as the strings "NaN", "Infinity" and "-Infinity".
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        ser_json_inf_nan="strings",
    )


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise field_error(FieldProblem.YEAR_OUT_OF_RANGE) from error


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A timezone-aware time in UTC."""


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
