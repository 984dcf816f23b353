"""Encodes a place in a job list as an opaque cursor, and decodes it."""

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.errors.kinds import BadCursor
from app.http.paging import decode_cursor, encode_cursor
from app.jobs.listing import lists
from app.jobs.listing.walks import BEFORE_ALL, QUEUED_SECTION, Place
from app.jobs.schemas import JobSort

MOST_CHARACTERS = 1000
"""Maximum length of a cursor, which may contain the start of a name."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_PRIORITY = 1_000_000
"""Every priority is at most this number, and every time in microseconds is at least this number."""
_KEY_TYPES = {"eval_loss": float, "name": str}


def encode_place(place: Place, sort: JobSort) -> str:
    """Return the cursor for a place. For lists with the newest jobs first, the format is that of earlier versions."""
    if sort is JobSort.NEWEST and isinstance(place.key, datetime):
        return encode_cursor(_microseconds(place.key), place.number)
    key = _microseconds(place.key) if isinstance(place.key, datetime) else place.key
    content = json.dumps([sort.value, place.section, key, place.number], ensure_ascii=False)
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_place(session: Session, cursor: str, sort: JobSort) -> Place:
    """Return the place encoded by a cursor. Raises BadCursor, including for a cursor from a list in a different order."""
    try:
        if sort is not JobSort.NEWEST:
            return _decode_sorted(cursor, sort)
        try:
            microseconds, number = decode_cursor(cursor, 2)
            return Place(_EPOCH + microseconds * _MICROSECOND, number)
        except BadCursor:
            # Cursors from earlier versions contain only a number.
            return lists.find_place_below(session, decode_cursor(cursor, 1)[0])
    except OverflowError as error:
        raise BadCursor("cursor") from error


def _decode_sorted(cursor: str, sort: JobSort) -> Place:
    try:
        content = base64.urlsafe_b64decode(cursor.encode() + b"==").decode()
        name, section, key, number = json.loads(content)
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise BadCursor("cursor") from error
    fits = name == sort.value and _is_count(section) and _is_count(number)
    if not fits or not (key is None or type(key) is _KEY_TYPES.get(sort.column, int)):
        raise BadCursor("cursor")
    if isinstance(key, str) and "\0" in key:
        raise BadCursor("cursor")
    if sort is JobSort.STATUS and section == QUEUED_SECTION and isinstance(key, int):
        # In cursors from earlier versions, the key is a time. Start with the first queued job.
        return Place(key, number if abs(key) <= _MOST_PRIORITY else BEFORE_ALL, section)
    if sort.column not in _KEY_TYPES and isinstance(key, int):
        key = _EPOCH + key * _MICROSECOND
    return Place(key, number, section)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= BEFORE_ALL


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND
