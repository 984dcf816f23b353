"""Parses the Range header (RFC 9110), which requests parts of a file."""

import re

from app.errors.kinds import RangeNotSatisfiable

MOST_RANGES = 16
"""Maximum number of ranges per request. Requests for more get the whole file, which costs less than many parts."""
_RANGE = re.compile(r"([0-9]+)-([0-9]*)|-([0-9]+)")
_DIGITS = 18
"""Maximum number of digits in a number, which is enough for any file size."""


def requested_ranges(header: str, length: int) -> list[tuple[int, int]] | None:
    """Return the first and last byte of each range that is within a file of `length` bytes, in the header's order.

    Return None if the header must be ignored: its unit is not bytes, its ranges are invalid, or there are too many.
    Raises RangeNotSatisfiable if the header is valid but none of its ranges is within the file.
    """
    unit, equals, given = header.partition("=")
    parts = [part.strip(" \t") for part in given.split(",") if part.strip(" \t")]
    if not equals or unit.strip().lower() != "bytes" or not 1 <= len(parts) <= MOST_RANGES:
        return None
    ranges = []
    for part in parts:
        found = _RANGE.fullmatch(part)
        if found is None:
            return None
        first, last, suffix = found.groups()
        if suffix is not None:
            start, end = max(0, length - _number(suffix)), length - 1
        else:
            start, end = _number(first), _number(last) if last else length - 1
            if last and end < start:
                return None
        if start < length and start <= end:
            ranges.append((start, min(end, length - 1)))
    if not ranges:
        raise RangeNotSatisfiable(length)
    return ranges


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS else 10**_DIGITS
