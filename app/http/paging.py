"""Lists: our page format, the format of OpenAI's API, and opaque cursors."""

import base64
import binascii
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from app.errors.kinds import BadCursor

Item = TypeVar("Item")


class HasId(Protocol):
    """An object with an id."""

    id: str


Identified = TypeVar("Identified", bound=HasId)
_LARGEST = 2**62


class Page(BaseModel, Generic[Item]):
    """One page of a list. `cursor` continues the list, even if there are currently no more entries."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    cursor: str | None


class ObjectList(BaseModel, Generic[Item]):
    """One page of a list for OpenAI's clients. To get the next page, pass the id of the last object as `after`."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    first_id: str | None
    last_id: str | None


def list_objects(
    data: list[Identified], *, has_more: bool
) -> "ObjectList[Identified]":  # quoted, because pydantic cannot build a schema of a protocol
    """Return a page with the ids of its first and last objects."""
    return ObjectList(
        data=data,
        has_more=has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def encode_cursor(*numbers: int) -> str:
    """Return the numbers as an opaque cursor."""
    text = ".".join(str(number) for number in numbers)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def encode_text(text: str) -> str:
    """Return text as an opaque cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_text(cursor: str, param: str = "cursor") -> str:
    """Return the text of a cursor. Raises BadCursor for anything that encode_text did not return."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"==").decode()
    except (binascii.Error, ValueError) as error:
        raise BadCursor(param) from error
    if encode_text(text) != cursor or "\0" in text:
        raise BadCursor(param)
    return text


def decode_cursor(cursor: str, count: int, param: str = "cursor") -> tuple[int, ...]:
    """Return the numbers of a cursor. Raises BadCursor for anything that encode_cursor did not return."""
    try:
        text = base64.urlsafe_b64decode(cursor[:200].encode() + b"==").decode("ascii")
        numbers = tuple(int(part) for part in text.split("."))
    except (binascii.Error, ValueError) as error:
        raise BadCursor(param) from error
    if len(numbers) != count or any(not 0 <= number <= _LARGEST for number in numbers):
        raise BadCursor(param)
    return numbers
