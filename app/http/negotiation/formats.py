"""Chooses the format of a response from the `format` query parameter or, if that is absent, from the Accept header."""

from typing import Any

from pydantic import WithJsonSchema

from app.errors.kinds import NotTogether, UnknownFormat
from app.http.negotiation.accept import preferences


class Formats:
    """The formats offered by a route, default first: `Formats(json="application/json", text="text/plain")`."""

    def __init__(self, **media_types: str) -> None:
        self.media_types = media_types

    @property
    def names(self) -> WithJsonSchema:
        """The schema of the `format` query parameter in the OpenAPI document, with the names that `choose` accepts."""
        return WithJsonSchema({"type": "string", "enum": list(self.media_types)})

    @property
    def content(self) -> dict[str, Any]:
        """Text responses in the OpenAPI document, by media type. The route's model describes the JSON response."""
        texts = [kind for kind in self.media_types.values() if kind != "application/json"]
        return {kind: {"schema": {"type": "string"}} for kind in texts}

    def choose(self, accept: str | None, requested: str | None) -> str:
        """Return the name of the format to send: `requested` if given, else the best match for `accept`, else the default.

        Raises UnknownFormat if the route does not offer `requested`.
        """
        if requested is not None:
            if requested not in self.media_types:
                raise UnknownFormat("format", format=requested, offered=", ".join(self.media_types))
            return requested
        best = (0.0, next(iter(self.media_types)))
        for media_type, weight in preferences(accept or "*/*"):
            for name, offer in self.media_types.items():
                if weight > best[0] and _matches(media_type, offer):
                    best = (weight, name)
        return best[1]


def refuse_beside(chosen: str, **others: object) -> None:
    """Raise NotTogether if any of these parameters is given, because they have no effect with `chosen`."""
    for name, value in others.items():
        if value:
            raise NotTogether(name, one=name, other=chosen)


def _matches(accepted: str, offer: str) -> bool:
    kind, _, subtype = accepted.partition("/")
    return accepted in {"*/*", offer} or (subtype == "*" and offer.startswith(f"{kind}/"))
