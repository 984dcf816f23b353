"""AppError, the base class of all API errors, and the JSON body of error responses."""

from collections.abc import Sequence
from typing import ClassVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from app.errors import words as messages
from contracts.failure import Language
from contracts.protocol.wire import SHOULD_RETRY_HEADER
from contracts.values.text import escape


class AppError(Exception):
    """An error response. The values in `figures` are inserted into the message; `param` names the invalid field."""

    code: ClassVar[str]
    status: ClassVar[int]
    retry_after_seconds: ClassVar[int | None] = None
    """Value of the Retry-After header; None omits the header."""
    former_code: ClassVar[str | None] = None
    """The error's former code, which old workers expect."""

    def __init__(self, param: str | None = None, **figures: object) -> None:
        super().__init__(f"{self.code}: {figures}")
        self.param = param
        self.figures = figures
        self.headers: dict[str, str] = {}
        """Additional response headers."""
        self.errors: Sequence[FieldError] | None = None
        """All problems with the request or the file; None if the error is not about their content."""


class FieldError(BaseModel):
    """One problem with a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    param: str | None
    """Dotted path of the field; null if the problem does not concern a single field."""
    code: str
    """Stable, machine-readable code; `docs/api.md` lists all codes."""
    message: str
    """Human-readable, in the language of Accept-Language, without the field's name."""


class ErrorDetail(BaseModel):
    """The details of an error."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    message: str
    """Human-readable, in the language of Accept-Language (English or Chinese)."""
    type: str
    """Error category, determined by the status."""
    param: str | None
    """Dotted path of the first invalid field."""
    code: str
    """Stable, machine-readable code."""
    hint: str | None = None
    """How to fix the problem; absent if there is nothing to suggest."""
    errors: list[FieldError] | None = None
    """All problems with the request or the file, at most 100; present only with the codes `invalid_field`, `dataset_invalid`
    and `dataset_unreadable`."""


class ErrorBody(BaseModel):
    """The body of every error response."""

    error: ErrorDetail


def error_body(error: AppError, language: Language, *, code: str | None = None) -> ErrorBody:
    """Return the body of an error; `code` replaces the error's own code."""
    words = messages.error_words(error.code, language, error.figures)
    detail = ErrorDetail(
        message=words.message,
        type=_type(error.status),
        param=None if error.param is None else escape(error.param),
        code=code or error.code,
        hint=words.hint or None,
        errors=None if error.errors is None else [_escaped(each) for each in error.errors],
    )
    return ErrorBody(error=detail)


def _escaped(error: FieldError) -> FieldError:
    param = None if error.param is None else escape(error.param)
    return FieldError(param=param, code=error.code, message=escape(error.message))


def error_response(
    error: AppError,
    language: Language,
    headers: dict[str, str] | None = None,
    *,
    code: str | None = None,
) -> JSONResponse:
    """Return the response for an error. Its headers say whether a retry can help; `code` overrides the error's code."""
    headers = error.headers | (headers or {})
    if error.retry_after_seconds is not None:
        headers.setdefault("Retry-After", str(error.retry_after_seconds))
    elif error.status < 500:
        headers[SHOULD_RETRY_HEADER] = "false"
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = error_body(error, language, code=code).model_dump()
    for optional in ("hint", "errors"):
        if body["error"][optional] is None:
            del body["error"][optional]
    return JSONResponse(body, status_code=error.status, headers=headers)


_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return _TYPES.get(status, "invalid_request_error")
