"""The errors that the client raises. All are subclasses of SteplineError."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.values.text import escape_lines


class SteplineError(Exception):
    """An error of the client or of the service."""


class ServerUnreachable(SteplineError):
    """No response from the service, or a response from something else, such as a proxy. A retry may succeed."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """Why there was no response; None if something else responded."""


class WaitTimeout(SteplineError):
    """The time limit passed before the job ended. The job continues."""


@dataclass(frozen=True)
class Problem:
    """One invalid field of a request."""

    param: str
    code: str
    message: str


class ApiError(SteplineError):
    """The service rejected the request. Subclasses correspond to the statuses that callers often handle."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        hint: str | None = None,
        errors: Sequence[Problem] = (),
    ) -> None:
        super().__init__(escape_lines(" ".join(filter(None, [message, hint]))))
        self.status = status
        """HTTP status."""
        self.code = code
        """Stable code, such as `invalid_field`."""
        self.message = message
        self.param = param
        """Dotted path of the first invalid field; None if the error is not about a field."""
        self.hint = hint
        self.errors = tuple(errors)
        """Every invalid field of the request; empty unless the code is `invalid_field`."""


class InvalidRequest(ApiError):
    """400 or 413: a field, a file or a parameter is invalid."""


class NotFound(ApiError):
    """404: the job, dataset or other object does not exist."""


class Conflict(ApiError):
    """409: the current state does not allow the request, for example cancelling a job that has ended."""


class Unavailable(ApiError):
    """429, 503 or 507: the service cannot handle the request now, even after the client's retries."""


class DatasetRejected(ApiError):
    """The check of an uploaded file failed. `problems` lists the invalid rows found before the check stopped."""

    problems: Sequence[str] = ()


KINDS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    413: InvalidRequest,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    503: Unavailable,
    507: Unavailable,
}
"""The class of an error by HTTP status; ApiError for every other status."""
