"""Request body limits. A route that accepts more than a small JSON body declares its kind of body with `@takes`.

The middleware in app/edge applies the limit as the body arrives. The default is the smallest limit, so a new upload
route without a declaration fails its first test instead of accepting bodies of any size.
"""

import enum
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.types import Scope

from contracts.errands.errand import MOST_RESULT_BYTES

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

JSON_LIMIT_BYTES = 1024 * 1024
WORKER_MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
ERRAND_RESULT_LIMIT_BYTES = MOST_RESULT_BYTES + 64 * 1024
PART_LIMIT_BYTES = 64 * 1024 * 1024
MULTIPART_OVERHEAD_BYTES = 64 * 1024
_ATTRIBUTE = "body_kind"


class BodyKind(enum.Enum):
    """The kind of body accepted by a route."""

    JSON = enum.auto()
    """A user's JSON request (the default)."""
    WORKER_MESSAGE = enum.auto()
    """A worker's JSON request, which contains up to a thousand records and a chunk of output."""
    ERRAND_RESULT = enum.auto()
    """JSON with the result of an errand, sent by a worker."""
    FILE = enum.auto()
    """The bytes of one file, limited by STEPLINE_MAX_UPLOAD_BYTES."""
    PART_FORM = enum.auto()
    """A part of an upload in a multipart form."""
    FILE_FORM = enum.auto()
    """A file in a multipart form, with the same limit plus the overhead of the form."""

    def limit_bytes(self, max_upload_bytes: int) -> int:
        """Return the maximum size of this kind of body, in bytes."""
        match self:
            case BodyKind.JSON:
                return JSON_LIMIT_BYTES
            case BodyKind.WORKER_MESSAGE:
                return WORKER_MESSAGE_LIMIT_BYTES
            case BodyKind.ERRAND_RESULT:
                return ERRAND_RESULT_LIMIT_BYTES
            case BodyKind.PART_FORM:
                return PART_LIMIT_BYTES + MULTIPART_OVERHEAD_BYTES
            case BodyKind.FILE:
                return max_upload_bytes
            case BodyKind.FILE_FORM:
                return max_upload_bytes + MULTIPART_OVERHEAD_BYTES


def takes(kind: BodyKind) -> Callable[[Endpoint], Endpoint]:
    """Declare the kind of body that a route accepts. Use it below the router's decorator: `@router.put(…)`, then `@takes(…)`."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, kind)
        return endpoint

    return declare


def body_kind(scope: Scope) -> BodyKind:
    """Return the kind of body that the request's route accepts; JSON if none is declared or the route is unknown."""
    kind: BodyKind = getattr(scope.get("endpoint"), _ATTRIBUTE, BodyKind.JSON)
    return kind
