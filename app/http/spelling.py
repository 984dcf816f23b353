"""Suggests the name that a caller probably meant: of a field, a model or a module."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel


def suggest_field(request: Request, location: Sequence[str | int]) -> str | None:
    """Return the name closest to that of an unknown field, or None if none is close.

    `location` comes from pydantic's error: "body", the names of the enclosing fields, and the unknown name.
    """
    source, *path = [str(part) for part in location]
    route = request.scope.get("route")
    if source != "body" or not isinstance(route, APIRoute) or route.body_field is None:
        return None
    *parents, wrong = path
    models = list(_models_in(route.body_field.field_info.annotation))
    for parent in filter(str.isidentifier, parents):  # others are indexes and members of unions
        models = [
            inner
            for model in models
            if parent in model.model_fields
            for inner in _models_in(model.model_fields[parent].annotation)
        ]
    return nearest_name(wrong, [name for model in models for name in model.model_fields])


def nearest_name(wrong: str, names: Iterable[str]) -> str | None:
    """Return the name closest to a misspelled one, or None if none is close. Case is ignored."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wrong.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation such as `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
