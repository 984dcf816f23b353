"""What an answer means: the server's word, its refusal, or a sign that it is somewhere else.

Only what is said in the server's own shape comes from it. A reverse proxy whose backend restarts, a login page, a
captive portal: each answers in its own way, success included, and knows nothing of attempts. Whoever hears one of
them has not reached the server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx2
from pydantic import BaseModel, Field, ValidationError

from contracts import error_codes
from contracts.wire import SHOULD_RETRY_HEADER

M = TypeVar("M", bound=BaseModel)

AWAY_STATUSES = frozenset({408, 425, 429, 502, 503, 504, 507})
MISDIRECTED = 421
"""The server does not know the name that this worker calls it by, until its operator lists it: no reason to drop results."""
SHOWN_BYTES = 200


class ServerAway(Exception):
    """The server cannot be reached, or says that it cannot answer now."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Refused(Exception):
    """The server answered no; asking again will not help."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Superseded(Refused):
    """The attempt is no longer ours: another one has taken over, or the job is settled."""


class RecordsMissing(Refused):
    """The server lacks records of an attempt that wants to finish, or to store a checkpoint."""


class FileNotOffered(Refused):
    """The server knows no checkpoint on offer that has this file."""


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
    """The one shape of the server's errors."""

    error: _Problem


@contextmanager
def reaching_server() -> Iterator[None]:
    """Raise ServerAway for a request of the block that gets no answer."""
    try:
        yield
    except httpx2.RequestError as error:
        raise ServerAway(f"{type(error).__name__}: {error}") from error


def check_success(response: httpx2.Response) -> httpx2.Response:
    """Return a response that says yes. Raises ServerAway or Refused for any other."""
    if not response.is_success:
        raise _read_refusal(response)
    return response


def read(response: httpx2.Response, model: type[M]) -> M:
    """Return the body of a successful response. Raises ServerAway if it has another shape."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise ServerAway(_from_elsewhere(response)) from error


def read_nothing(response: httpx2.Response) -> None:
    """Read a successful response whose body does not matter. Raises ServerAway if it is a page of another service."""
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if response.content and kind != "application/json":
        raise ServerAway(_from_elsewhere(response))


def _read_refusal(response: httpx2.Response) -> ServerAway | Refused:
    """Return what an answer that is not success means."""
    status = response.status_code
    retry_after_seconds = _seconds(response.headers.get("Retry-After", ""))
    try:
        problem = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        if status == 413 and not response.request.url.path.endswith("/sync"):
            # A limit that stands between us: this very body will not pass it later either. What is synced still changes,
            # and no limit in between is worth a training.
            return Refused(status, "body_too_large", _from_elsewhere(response))
        return ServerAway(_from_elsewhere(response), retry_after_seconds)
    should_retry = response.headers.get(SHOULD_RETRY_HEADER, "true").lower() != "false"
    if status == MISDIRECTED or (status in AWAY_STATUSES and should_retry):
        return ServerAway(f"{status} {problem.code}: {problem.message}", retry_after_seconds)
    return _KINDS.get(problem.code, Refused)(status, problem.code, problem.message)


def _from_elsewhere(response: httpx2.Response) -> str:
    said = response.content[:SHOWN_BYTES].decode(errors="replace").strip()
    return f"{response.status_code} from something that is not a Stepline server: {said}"


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0
