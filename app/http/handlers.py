"""What each kind of exception is answered with: always the one error shape, in the caller's language."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from app.db.sql import says_disk_full
from app.errors import kinds as errors
from app.errors.base import AppError, error_response
from app.errors.disk import storage_failure
from app.http import validation as complaints
from app.http.language import get_language
from app.http.spelling import suggest_field
from contracts.failure import Language

log = structlog.get_logger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SHOWN_PROBLEMS = 5
"""Problems of one request that are told at once."""


def install(app: FastAPI) -> None:
    """Give the application its answers."""
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    for kind in (
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.InterfaceError,
        sqlalchemy.exc.TimeoutError,
    ):
        app.add_exception_handler(kind, _on_database_error)
    for unstorable in (sqlalchemy.exc.DataError, UnicodeEncodeError, PydanticSerializationError):
        app.add_exception_handler(unstorable, _on_unstorable_value)


async def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  # what it is registered for
    return error_response(error, get_language(request))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    language = get_language(request)
    return error_response(_explain(request, error.errors(), language), language)


def _explain(request: Request, found: Sequence[Any], language: Language) -> AppError:
    first = found[0]
    if first["type"] == "json_invalid":
        return errors.InvalidJson(problem=(first.get("ctx") or {}).get("error", first["msg"]))
    problems = complaints.validation_problems(found, language)
    if len(first["loc"]) == 1 and first["loc"][0] == "body":
        return errors.InvalidBody(problem=problems[0].sentence)
    told = [f"{p.param}: {p.sentence}" for p in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        told.append(f"… (+{len(problems) - SHOWN_PROBLEMS})")
    return errors.InvalidField(
        problems[0].param, problem="; ".join(told), hint=_hint(request, first, language)
    )


def _hint(request: Request, error: Any, language: Language) -> str:
    """Return a guess at what a misspelt field of the body was meant to be, or ""."""
    if error["type"] != "extra_forbidden":
        return ""
    near = suggest_field(request, error["loc"])
    if near is None:
        return ""
    return f"您是不是要写 {near}？" if language == "zh" else f"Did you mean {near}?"


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    language = get_language(request)
    if isinstance(error.__cause__, OSError):  # the upload could not be laid down
        return error_response(storage_failure(error.__cause__), language)
    path = request.url.path[:200]
    match error.status_code:
        case 404:
            return error_response(errors.PathNotFound(path=path), language)
        case 405:
            allowed = ", ".join(_allowed_methods(request))
            refused = errors.MethodNotAllowed(path=path, method=request.method, allowed=allowed)
            return error_response(refused, language, {"Allow": allowed})
        case 413:
            return error_response(errors.BodyTooLarge(limit=error.detail), language)
    problem = error.detail.rstrip(".")  # it becomes a part of a sentence
    if request.headers.get("content-type", "").startswith("multipart/"):
        return error_response(errors.InvalidMultipart(problem=problem), language)
    return error_response(errors.InvalidJson(problem=problem), language)


def _allowed_methods(request: Request) -> list[str]:
    routes = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(r.matches({**request.scope, "method": method})[0] is Match.FULL for r in routes)
    ]


async def _on_database_error(request: Request, error: Exception) -> Response:
    log.warning("database unavailable", error=str(error))
    answer = errors.StorageFull() if says_disk_full(error) else errors.DatabaseUnavailable()
    return error_response(answer, get_language(request))


async def _on_unstorable_value(request: Request, error: Exception) -> Response:
    """Refuse what no column holds, such as half of a surrogate pair, which JSON can say and UTF-8 cannot."""
    if isinstance(error, PydanticSerializationError) and "surrogates not allowed" not in str(error):
        raise error
    log.warning("a value cannot be stored", error=str(error))
    refused = errors.InvalidBody(problem="a value is too long or cannot be stored")
    return error_response(refused, get_language(request))
