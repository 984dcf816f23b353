"""Parses the weighted lists of Accept, Accept-Language and Accept-Encoding (RFC 9110, section 12.4.2)."""

import re
from collections.abc import Iterator

_LONGEST = 500
"""Maximum number of header characters to read; the rest is ignored."""
_WEIGHT = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def preferences(header: str) -> Iterator[tuple[str, float]]:
    """Yield each name in a header, in lower case, and its weight from 0 to 1, in the header's order.

    A missing or invalid weight counts as 1. A weight of 0 means "not acceptable".
    """
    for part in header[:_LONGEST].split(","):
        name, _, parameters = part.partition(";")
        weight = _WEIGHT.search(parameters)
        yield name.strip().lower(), float(weight[1]) if weight else 1.0
