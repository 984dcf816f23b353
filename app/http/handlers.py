"""Exception handlers: each returns the standard error body in the caller's language."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from app.db.sql import is_disk_full
from app.errors import kinds as errors
from app.errors.base import AppError, error_response
from app.errors.disk import storage_failure
from app.errors.field_hints import field_hint, guess_hint, parts_hint
from app.errors.number_hints import NUMBER_ERRORS, number_hint
from app.errors.words import UNSTORABLE_VALUE
from app.http import validation
from app.http.negotiation.language import get_language
from app.http.request_fields import bounds_of, number_at, parts_of
from app.http.spelling import nearest_name, suggest_field
from contracts.failure import Language
from contracts.field_error import FieldProblem
from contracts.protocol.error_codes import CODES_HEADER

log = structlog.get_logger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    for kind in (
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.InterfaceError,
        sqlalchemy.exc.TimeoutError,
    ):
        app.add_exception_handler(kind, _on_database_error)
    for unstorable in (sqlalchemy.exc.DataError, UnicodeEncodeError, PydanticSerializationError):
        app.add_exception_handler(unstorable, _on_unstorable_value)


async def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  # the only type registered
    # Workers running earlier versions do not send this header and would not understand a renamed code.
    is_old = error.former_code is not None and CODES_HEADER not in request.headers
    code = error.former_code if is_old else None
    return error_response(error, get_language(request), code=code)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # the only type registered
    language = get_language(request)
    return error_response(_explain(request, error.errors(), language), language)


def _explain(request: Request, found: Sequence[Any], language: Language) -> AppError:
    first = found[0]
    if first["type"] == "json_invalid":
        return errors.InvalidJson(problem=(first.get("ctx") or {}).get("error", first["msg"]))
    problems = validation.field_errors(found, language, partial(bounds_of, request))
    if len(first["loc"]) == 1 and first["loc"][0] == "body":
        return errors.InvalidBody(problem=problems[0].message)
    return errors.InvalidField(problems, hint=_hint(request, first, language))


def _hint(request: Request, error: Any, language: Language) -> str:
    """Return a hint on how to fix an invalid value, or ""."""
    match error["type"]:
        case "extra_forbidden":
            return guess_hint(suggest_field(request, error["loc"]), language)
        case FieldProblem.NOT_AN_OPTION | FieldProblem.UNKNOWN_PRESET:
            options = [str(option) for option in error["ctx"]["options"]]
            return guess_hint(nearest_name(str(error.get("input"))[:100], options), language)
        case "model_type" | "model_attributes_type":
            return parts_hint(parts_of(request, error["loc"]), language)
    hint = field_hint(error, validation.dotted(error["loc"]), language)
    if not hint and error["type"] in NUMBER_ERRORS:
        number = number_at(request, error["loc"])
        return "" if number is None else number_hint(number, language)
    return hint


async def on_http_error(request: Request, error: Exception) -> Response:
    """Return the error for a status raised by Starlette or FastAPI."""
    assert isinstance(error, HTTPException)  # noqa: S101  # the only type registered
    language = get_language(request)
    if isinstance(error.__cause__, OSError):  # the upload could not be written to disk
        return error_response(storage_failure(error.__cause__), language)
    path = request.url.path[:200]
    match error.status_code:
        case 404:
            return error_response(errors.PathNotFound(path=path), language)
        case 405:
            allowed = ", ".join(_allowed_methods(request))
            rejected = errors.MethodNotAllowed(path=path, method=request.method, allowed=allowed)
            return error_response(rejected, language, {"Allow": allowed})
        case 413:
            return error_response(errors.BodyTooLarge(limit=error.detail), language)
    problem = error.detail.rstrip(".")  # used within a sentence
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
    answer = errors.StorageFull() if is_disk_full(error) else errors.DatabaseUnavailable()
    return error_response(answer, get_language(request))


async def _on_unstorable_value(request: Request, error: Exception) -> Response:
    """Reject a value that cannot be stored, such as an unpaired surrogate, which is valid in JSON but not in UTF-8."""
    if isinstance(error, PydanticSerializationError) and "surrogates not allowed" not in str(error):
        raise error
    log.warning("a value cannot be stored", error=str(error))
    language = get_language(request)
    return error_response(errors.InvalidBody(problem=UNSTORABLE_VALUE[language]), language)
