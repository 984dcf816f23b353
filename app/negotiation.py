"""Which of a few formats a caller wants, `?format=` before the Accept header; and what cannot be asked for together."""

import re
from collections.abc import Mapping

from app.errors import NotTogether, UnknownFormat


def choose_format(accept: str | None, wanted: str | None, offered: Mapping[str, str]) -> str:
    """Return the name of the wanted format. `offered` maps names to media types, the default first."""
    if wanted is not None:
        if wanted not in offered:
            raise UnknownFormat("format", format=wanted, offered=", ".join(offered))
        return wanted
    default = next(iter(offered))
    best = (0.0, default)
    for part in (accept or "*/*")[:500].split(","):
        media_type, _, parameters = part.partition(";")
        found = re.search(r"q=([01](?:\.[0-9]{0,3})?)", parameters)
        weight = float(found[1]) if found else 1.0
        for name, offer in offered.items():
            if weight > best[0] and _fits(media_type.strip().lower(), offer):
                best = (weight, name)
    return best[1]


def refuse_beside(chosen: str, **others: object) -> None:
    """Raise NotTogether for a parameter that was given and would say nothing beside the chosen one."""
    for name, value in others.items():
        if value:
            raise NotTogether(name, one=name, other=chosen)


def _fits(wanted: str, offer: str) -> bool:
    kind, _, subtype = wanted.partition("/")
    return wanted in {"*/*", offer} or (subtype == "*" and offer.startswith(f"{kind}/"))
