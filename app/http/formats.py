"""Choice of a response format: `?format=`, then the Accept header; and parameters that exclude each other."""

import re
from typing import Any

from pydantic import WithJsonSchema

from app.errors.kinds import NotTogether, UnknownFormat


class Formats:
    """The formats that a route offers, the default first: `Formats(json="application/json", text="text/plain")`."""

    def __init__(self, **media_types: str) -> None:
        self.media_types = media_types

    @property
    def names(self) -> WithJsonSchema:
        """OpenAPI schema of the query parameter `format`; choose() rejects any other name."""
        return WithJsonSchema({"type": "string", "enum": list(self.media_types)})

    @property
    def content(self) -> dict[str, Any]:
        """OpenAPI content of the text responses, by media type; the route's model describes JSON."""
        texts = [kind for kind in self.media_types.values() if kind != "application/json"]
        return {kind: {"schema": {"type": "string"}} for kind in texts}

    def choose(self, accept: str | None, wanted: str | None) -> str:
        """Return the name of the wanted format. Raises UnknownFormat."""
        if wanted is not None:
            if wanted not in self.media_types:
                raise UnknownFormat("format", format=wanted, offered=", ".join(self.media_types))
            return wanted
        best = (0.0, next(iter(self.media_types)))
        for part in (accept or "*/*")[:500].split(","):
            media_type, _, parameters = part.partition(";")
            found = re.search(r"q=([01](?:\.[0-9]{0,3})?)", parameters)
            weight = float(found[1]) if found else 1.0
            for name, offer in self.media_types.items():
                if weight > best[0] and _fits(media_type.strip().lower(), offer):
                    best = (weight, name)
        return best[1]


def refuse_beside(chosen: str, **others: object) -> None:
    """Raise NotTogether for a given parameter that has no effect together with the chosen one."""
    for name, value in others.items():
        if value:
            raise NotTogether(name, one=name, other=chosen)


def _fits(wanted: str, offer: str) -> bool:
    kind, _, subtype = wanted.partition("/")
    return wanted in {"*/*", offer} or (subtype == "*" and offer.startswith(f"{kind}/"))
