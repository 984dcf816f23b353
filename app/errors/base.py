"""AppError, which every error of the API is, and the one JSON shape that it is answered in."""

from typing import ClassVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.errors import words as messages
from contracts.failure import Language
from contracts.text import escape
from contracts.wire import SHOULD_RETRY_HEADER


class AppError(Exception):
    """An answer that is not success. `figures` fill the message; `param` names the field at fault."""

    code: ClassVar[str]
    status: ClassVar[int]
    retry_after_seconds: ClassVar[int | None] = None
    """Given where trying the same again later can help."""
    former_code: ClassVar[str | None] = None
    """The code that workers of an earlier version know this error by."""

    def __init__(self, param: str | None = None, **figures: object) -> None:
        super().__init__(f"{self.code}: {figures}")
        self.param = param
        self.figures = figures
        self.headers: dict[str, str] = {}
        """Headers of the answer, beside those that every error has."""


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    """For people, in the language of Accept-Language (English or Chinese)."""
    type: str
    param: str | None
    """Dotted path of the field at fault."""
    code: str
    """For programs; stable."""
    hint: str | None = None
    """What to try."""


class ErrorBody(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


def error_body(error: AppError, language: Language, *, code: str | None = None) -> ErrorBody:
    """Return the error in its JSON shape; `code` replaces its own code."""
    words = messages.error_words(error.code, language, error.figures)
    detail = ErrorDetail(
        message=words.message,
        type=_type(error.status),
        param=None if error.param is None else escape(error.param),
        code=code or error.code,
        hint=words.hint or None,
    )
    return ErrorBody(error=detail)


def error_response(
    error: AppError,
    language: Language,
    headers: dict[str, str] | None = None,
    *,
    code: str | None = None,
) -> JSONResponse:
    """Return the error as a response whose headers say whether a retry can help; `code` replaces its own code."""
    headers = error.headers | (headers or {})
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif error.status < 500:
        headers[SHOULD_RETRY_HEADER] = "false"
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = error_body(error, language, code=code).model_dump()
    if body["error"]["hint"] is None:
        del body["error"]["hint"]
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
