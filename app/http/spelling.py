"""Suggests the name of the field, option, model or module that a caller probably meant."""

import difflib
from collections.abc import Iterable, Sequence

from fastapi import Request

from app.http.request_fields import models_at


def suggest_field(request: Request, location: Sequence[str | int]) -> str | None:
    """Return the known name closest to an unknown field, or None if none is close.

    `location` comes from pydantic's error: "body", the names of the enclosing fields, and the unknown name.
    """
    source, *path = location
    if source != "body":
        return None
    *parents, wrong = path
    models = models_at(request, parents)
    return nearest_name(str(wrong), [name for model in models for name in model.model_fields])


def nearest_name(wrong: str, names: Iterable[str]) -> str | None:
    """Return the name closest to a misspelled one, or None if none is close. Case is ignored."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wrong.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None
