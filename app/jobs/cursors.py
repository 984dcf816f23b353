"""Encodes a place in a job list as an opaque cursor, and decodes such cursors."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.errors.kinds import BadCursor
from app.http.paging import decode_cursor, encode_cursor
from app.jobs import lists

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_place(place: lists.Place) -> str:
    """Return the cursor of a place."""
    return encode_cursor((place.created_at - _EPOCH) // _MICROSECOND, place.number)


def decode_place(session: Session, cursor: str) -> lists.Place:
    """Return the place that a cursor encodes. Raises BadCursor."""
    try:
        microseconds, number = decode_cursor(cursor, 2)
        return lists.Place(_EPOCH + microseconds * _MICROSECOND, number)
    except BadCursor:
        # Cursors of earlier versions contain only a number.
        return lists.find_place_below(session, decode_cursor(cursor, 1)[0])
    except OverflowError as error:
        raise BadCursor("cursor") from error
