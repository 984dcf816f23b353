"""Parts of the OpenAPI document that FastAPI cannot derive: additional statuses, media types, headers and events."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.errors.base import ErrorBody

Answers = dict[int | str, dict[str, Any]]
"""Responses by status, in the format of a route's `responses`."""

_TAG = {"description": "Identifies this version of the response.", "schema": {"type": "string"}}
LOCATION = {"Location": {"description": "Path of the resource.", "schema": {"type": "string"}}}


def tagged(content: dict[str, Any] | None = None) -> Answers:
    """Return the responses of a route that accepts If-None-Match. `content` describes media types other than JSON."""
    return {
        200: {"headers": {"ETag": _TAG}, "content": content or {}},
        304: {"description": "Not changed since the version in If-None-Match."},
    }


def file_answers(media_type: str) -> Answers:
    """Return the responses of a route that sends a stored file."""
    part = {"type": "string", "contentMediaType": media_type}
    content_range = {"Content-Range": {"schema": {"type": "string"}}}
    return {
        **tagged({media_type: {"schema": {"type": "string", "format": "binary"}}}),
        206: {
            "description": "The requested ranges. Several ranges are sent as a multipart body.",
            "content": {media_type: {"schema": part}, "multipart/byteranges": {"schema": part}},
        },
        416: {
            "model": ErrorBody,
            "description": "None of the requested ranges is within the file.",
            "headers": content_range,
        },
    }


FILE_PARAMETERS = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        for name in ("Range", "If-Range", "If-None-Match")
    ]
}
"""Request headers that StoredFile reads directly, so that FastAPI cannot document them."""


def events(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a stream of events. OpenAPI 3.2 defines `itemSchema`; 3.1 permits it."""
    item = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"text/event-stream": {"itemSchema": item}}


class DocumentedApp(FastAPI):
    """A FastAPI application whose OpenAPI document also contains models that are referenced only by `events`."""

    event_models: Sequence[type[BaseModel]] = ()

    def openapi(self) -> dict[str, Any]:
        """Return the document, which is built on first use."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            _, found = models_json_schema(
                [(model, "serialization") for model in self.event_models],
                ref_template="#/components/schemas/{model}",
            )
            for name, schema in found.get("$defs", {}).items():
                schemas.setdefault(name, schema)
        return super().openapi()
