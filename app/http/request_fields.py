"""Looks up the declarations of request fields: bounds, and names of an object's fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.errors.number_hints import NumberField

BOUNDS = ("gt", "ge", "lt", "le")


def bounds_of(request: Request, location: Sequence[str | int]) -> Mapping[str, Any]:
    """Return the bounds of a number, by pydantic's names; empty if there are none.

    `location` comes from pydantic's error: the source of the value, the names of the enclosing fields, and the field.
    """
    field = _field_at(request, location)
    return {
        name: bound
        for part in (field.metadata if field is not None else ())
        for name in BOUNDS
        if (bound := getattr(part, name, None)) is not None
    }


def number_at(request: Request, location: Sequence[str | int]) -> NumberField | None:
    """Return the declaration of a number that has bounds, or None."""
    field, bounds = _field_at(request, location), bounds_of(request, location)
    if field is None or not bounds:
        return None
    types = get_args(field.annotation) or (field.annotation,)
    if int not in types and float not in types:
        return None
    default = field.default if isinstance(field.default, int | float) else None
    return NumberField(float not in types, bounds, default)


def parts_of(request: Request, location: Sequence[str | int]) -> list[str]:
    """Return the field names of an object in the body; empty if the location is not an object."""
    field = _field_at(request, location)
    if field is None:
        return []
    return [name for model in models_in(field.annotation) for name in model.model_fields]


def models_at(request: Request, parents: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the models of the body object that contains a field. `parents`: the names of the enclosing fields."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return []
    models = list(models_in(route.body_field.field_info.annotation))
    for parent in (str(part) for part in parents):
        if not parent.isidentifier():  # others are indexes and union members
            continue
        models = [
            inner
            for model in models
            if parent in model.model_fields
            for inner in models_in(model.model_fields[parent].annotation)
        ]
    return models


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation such as `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def _field_at(request: Request, location: Sequence[str | int]) -> FieldInfo | None:
    source, *path = location
    if not path:
        return None
    name = str(path[-1])
    if source == "body":
        models = models_at(request, path[:-1])
        return next((m.model_fields[name] for m in models if name in m.model_fields), None)
    route = request.scope.get("route")
    if source != "query" or not isinstance(route, APIRoute):
        return None
    return next(
        (each.field_info for each in route.dependant.query_params if each.alias == name), None
    )
