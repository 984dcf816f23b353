"""The language of a response."""

import re
from typing import Annotated

from fastapi import Depends, Request

from contracts.failure import Language


def choose_language(accept_language: str | None) -> Language:
    """Return the language that an Accept-Language header prefers; English unless it asks for Chinese first."""
    best: tuple[float, Language] = (0.0, "en")
    for part in (accept_language or "")[:500].split(","):
        tag, _, parameters = part.partition(";")
        found = re.search(r"q=([01](?:\.[0-9]{0,3})?)", parameters)
        weight = float(found[1]) if found else 1.0
        name = tag.strip().lower().split("-")[0]
        if weight > best[0] and name == "zh":
            best = (weight, "zh")
        elif weight > best[0] and name in {"en", "*"}:
            best = (weight, "en")
    return best[1]


def get_language(request: Request) -> Language:
    """Return the language of the response to a request."""
    return choose_language(request.headers.get("accept-language"))


async def _language(request: Request) -> Language:
    # Not a plain function: FastAPI would run it in a thread, where it waits behind requests that need one.
    return get_language(request)


LanguageDep = Annotated[Language, Depends(_language)]
