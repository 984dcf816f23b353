"""Sends requests, retries those that may be retried, and converts error responses to exceptions."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from contracts.protocol.wire import SHOULD_RETRY_HEADER
from stepline.client.address import checked_address, is_local, shown_address
from stepline.client.errors import (
    KINDS,
    ApiError,
    Problem,
    ServerUnreachable,
    SteplineError,
    WaitTimeout,
)

M = TypeVar("M", bound=BaseModel)

RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504, 507})
TIMEOUT_SECONDS = 60.0
CONNECT_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 8.0
LONGEST_EVENT_BYTES = 64 << 20
"""Size limit for one event of a stream. The first one after a long disconnection contains up to 1,000 records."""


class _Detail(BaseModel):
    message: str
    code: str
    param: str | None = None
    hint: str | None = None
    errors: list[Problem] | None = None


class _Body(BaseModel):
    """The format of all error responses."""

    error: _Detail


class _Again:
    """A body that can be sent again, because each iteration starts from the beginning."""

    def __init__(self, body: Callable[[], Iterator[bytes]]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._body()


class Transport:
    """The connection to one service."""

    def __init__(
        self,
        base_url: str,
        language: str | None = None,
        attempts: int = 5,
        *,
        api_key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.base_url = checked_address(base_url)
        self.attempts = attempts
        self._sleep = sleep
        self._shown_url = shown_address(self.base_url)
        self._deadline: float | None = None
        headers = {"Accept-Language": language} if language else {}
        if api_key:
            headers["Authorization"] = f"Bearer {_checked_key(api_key)}"
        try:
            self._client = httpx2.Client(
                base_url=self.base_url,
                headers=headers,
                timeout=httpx2.Timeout(
                    timeout_seconds, connect=min(timeout_seconds, CONNECT_SECONDS)
                ),
                # A proxy cannot reach this machine's services.
                trust_env=not is_local(self.base_url),
                # Without TLS and proxies, certificates would be loaded for nothing, which takes longer than a request.
                verify=not (self.base_url.startswith("http://") and is_local(self.base_url)),
            )
        except httpx2.InvalidURL as error:
            raise SteplineError(f"{base_url!r} is not a valid server address: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self, model: type[M], method: str, path: str, **options: Any) -> M:
        """Send a request and return the response's body as `model`. Raises the same errors as `send`."""
        response = self.send(method, path, **options)
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise ServerUnreachable(
                f"{self._shown_url}{path} did not send a Stepline response. Check the server address"
            ) from error

    def send(
        self, method: str, path: str, *, repeatable: bool = True, **options: Any
    ) -> httpx2.Response:
        """Send a request and return the successful response.

        If the connection fails or the service is unavailable, the request is retried after increasing pauses, unless it
        is not `repeatable`. Raises ServerUnreachable, or ApiError if the service rejects the request.
        """
        last = self.attempts if repeatable else 1
        was_lost = False
        for attempt in range(1, last + 1):
            try:
                response = self._client.request(method, path, **(options | self._limit()))
            except httpx2.RequestError as error:
                self._limit()  # raises WaitTimeout if the time has passed
                was_lost = True
                if attempt == last:
                    raise self.unreachable(error) from error
                self._sleep(pause(attempt))
                continue
            if response.is_success:
                return response
            if was_lost and method == "DELETE" and response.status_code == httpx2.codes.NOT_FOUND:
                return response  # the attempt whose response was lost has deleted it
            if attempt == last or not _may_repeat(response):
                raise error_of(response)
            self._sleep(max(pause(attempt), retry_after(response)))
        raise AssertionError("unreachable")  # pragma: no cover  # the loop returns or raises

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Raise WaitTimeout if the requests within the block together take longer than `seconds`."""
        self._deadline = None if seconds is None else time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def _limit(self) -> dict[str, Any]:
        """Return the options that limit a request to the time left. Raises WaitTimeout."""
        if self._deadline is None:
            return {}
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout(f"The server at {self._shown_url} did not answer in time")
        return {"timeout": left}

    def read_body(
        self,
        model: type[M],
        method: str,
        path: str,
        body: Callable[[], Iterator[bytes]],
        **options: Any,
    ) -> M:
        """Like `read`, but sends a body. `body` is called for each attempt, and yields the body from its beginning."""
        return self.read(model, method, path, content=_Again(body), **options)

    @contextmanager
    def stream(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Iterator[httpx2.Response]:
        """Send a request once and yield the response before its body is read. Raises the same errors as `send`."""
        try:
            with self._client.stream(method, path, headers=headers, **options) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
        except httpx2.RequestError as error:
            raise self.unreachable(error) from error

    def wait(self, attempt: int) -> None:
        """Wait before the repetition that follows failed attempt number `attempt`, from 1."""
        self._sleep(pause(attempt))

    def unreachable(self, error: Exception) -> ServerUnreachable:
        """Return the error for a request that received no response."""
        reason = str(error) or type(error).__name__
        return ServerUnreachable(
            f"The server at {self._shown_url} cannot be reached ({reason})", reason
        )


def pause(attempt: int) -> float:
    """Return the seconds to wait after failed attempt number `attempt`, from 1, with jitter."""
    longest = min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0 ** min(attempt, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # not used for cryptography


def retry_after(response: httpx2.Response) -> float:
    """Return the seconds of Retry-After, at most 60; 0 if the header is absent or is a date."""
    try:
        return min(60.0, max(0.0, float(response.headers.get("Retry-After", "0"))))
    except ValueError:
        return 0.0


def error_of(response: httpx2.Response) -> SteplineError:
    """Return the exception for an error response."""
    status = response.status_code
    try:
        found = _Body.model_validate_json(response.content).error
    except ValidationError:
        return ServerUnreachable(
            f"{shown_address(str(response.request.url))} responded with {status}, but not in Stepline's format. Check the server address, "
            "and any proxy in front of the server"
        )
    kind = KINDS.get(status, ApiError)
    return kind(
        status,
        found.code,
        found.message,
        param=found.param,
        hint=found.hint,
        errors=found.errors or (),
    )


def _may_repeat(response: httpx2.Response) -> bool:
    if response.headers.get(SHOULD_RETRY_HEADER, "").lower() == "false":
        return False
    return response.status_code in RETRIED_STATUSES


def _checked_key(api_key: str) -> str:
    """Return the key without surrounding space. The error does not contain it, because errors are printed."""
    key = api_key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SteplineError(
            "The API key contains a space or a character that HTTP headers cannot contain"
        )
    return key
