"""The two kinds of contract model: what a user writes (strict) and what our other half writes (tolerant)."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from contracts.field_error import FieldProblem, field_error


class Strict(BaseModel):
    """A user's input. An unknown field or a number in quotes is an error: a typo must not train for an hour."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Tolerant(BaseModel):
    """A message between our two halves. Unknown fields are ignored: the other side may be a version ahead.

    Non-finite floats travel as the strings "NaN", "Infinity" and "-Infinity".
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
"""A point in time, aware, in UTC."""


def utc_now() -> datetime:
    """Return the present moment in UTC, for the outer doors that hand time in."""
    return datetime.now(UTC)
