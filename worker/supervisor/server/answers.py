"""Classifies a response: a success or rejection by the server, or a response from something else.

Only a response in the server's own format comes from the server. A reverse proxy whose backend restarts, a login page
or a captive portal responds in another format, sometimes with a success status. The worker then treats the server as
unreachable.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx2
from pydantic import BaseModel, Field, ValidationError

from contracts.protocol import error_codes
from contracts.protocol.wire import SHOULD_RETRY_HEADER

M = TypeVar("M", bound=BaseModel)

UNAVAILABLE_STATUSES = frozenset({408, 425, 429, 502, 503, 504, 507})
MISDIRECTED = 421
"""The server's STEPLINE_ALLOWED_HOSTS does not include the host name in this worker's server URL. The operator can fix
that, so the worker keeps its results."""
SHOWN_BYTES = 200


class ServerUnavailable(Exception):
    """The server is unreachable, or reports that it is temporarily unavailable.

    `code`: the error code of the server's response; None if no response came, or one from another service.
    """

    def __init__(
        self, message: str, retry_after_seconds: float = 0.0, *, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.code = code


class Refused(Exception):
    """The server rejected the request; a retry will not help."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Superseded(Refused):
    """This worker no longer holds the attempt: another one has taken over, or the job has ended."""


class RecordsMissing(Refused):
    """The server lacks records that it needs before it can finish the attempt or store the checkpoint."""


class FileNotOffered(Refused):
    """No currently offered checkpoint contains this file."""


_KINDS: dict[str, type[Refused]] = {
    error_codes.ATTEMPT_SUPERSEDED: Superseded,
    error_codes.RECORDS_MISSING: RecordsMissing,
    error_codes.CHECKPOINT_NOT_RECORDED: RecordsMissing,
    error_codes.FORMER_CHECKPOINT_NOT_RECORDED: RecordsMissing,
    error_codes.CHECKPOINT_FILE_NOT_FOUND: FileNotOffered,
}


class _Problem(BaseModel):
    code: str = Field(min_length=1)
    message: str


class _ErrorBody(BaseModel):
    """The format of all error bodies from the server."""

    error: _Problem


@contextmanager
def reaching_server() -> Iterator[None]:
    """Raise ServerUnavailable if a request in the block does not get a response."""
    try:
        yield
    except httpx2.RequestError as error:
        raise ServerUnavailable(f"{type(error).__name__}: {error}") from error


def check_success(response: httpx2.Response) -> httpx2.Response:
    """Return a successful response. Raises ServerUnavailable or Refused for any other."""
    if not response.is_success:
        raise _read_refusal(response)
    return response


def read(response: httpx2.Response, model: type[M]) -> M:
    """Return the body of a successful response. Raises ServerUnavailable if it has a different format."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise ServerUnavailable(_from_elsewhere(response)) from error


def read_nothing(response: httpx2.Response) -> None:
    """Read a successful response whose body does not matter. Raises ServerUnavailable if it comes from another service."""
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if response.content and kind != "application/json":
        raise ServerUnavailable(_from_elsewhere(response))


def _read_refusal(response: httpx2.Response) -> ServerUnavailable | Refused:
    """Return the error for a response that is not a success."""
    status = response.status_code
    retry_after_seconds = _seconds(response.headers.get("Retry-After", ""))
    try:
        problem = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        if status == 413 and not response.request.url.path.endswith("/sync"):
            # A proxy's size limit: the same body would be rejected again. But a sync's body changes each time, and
            # a proxy's limit must not stop the training.
            return Refused(status, "body_too_large", _from_elsewhere(response))
        return ServerUnavailable(_from_elsewhere(response), retry_after_seconds)
    should_retry = response.headers.get(SHOULD_RETRY_HEADER, "true").lower() != "false"
    if status == MISDIRECTED or (status in UNAVAILABLE_STATUSES and should_retry):
        message = f"{status} {problem.code}: {problem.message}"
        return ServerUnavailable(message, retry_after_seconds, code=problem.code)
    return _KINDS.get(problem.code, Refused)(status, problem.code, problem.message)


def _from_elsewhere(response: httpx2.Response) -> str:
    text = response.content[:SHOWN_BYTES].decode(errors="replace").strip()
    return f"{response.status_code} from something that is not a Stepline server: {text}"


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0
