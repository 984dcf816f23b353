"""The language of a response, from the request's Accept-Language header."""

from typing import Annotated

from fastapi import Depends, Request

from app.http.negotiation.accept import preferences
from contracts.failure import Language


def choose_language(accept_language: str | None) -> Language:
    """Return Chinese if an Accept-Language header prefers it, and English otherwise."""
    best: tuple[float, Language] = (0.0, "en")
    for tag, weight in preferences(accept_language or ""):
        name = tag.partition("-")[0]
        if weight > best[0] and name == "zh":
            best = (weight, "zh")
        elif weight > best[0] and name in {"en", "*"}:
            best = (weight, "en")
    return best[1]


def get_language(request: Request) -> Language:
    """Return the language of the response to this request."""
    return choose_language(request.headers.get("accept-language"))


async def _language(request: Request) -> Language:
    # A coroutine, because a plain function would need a free thread.
    return get_language(request)


LanguageDep = Annotated[Language, Depends(_language)]
