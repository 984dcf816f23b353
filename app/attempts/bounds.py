"""Rejects numbers from workers that exceed their bounds in the contracts."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from app.errors.kinds import NumberTooLarge
from app.leases.gate import WorkerRoute

REPORTED = {"records", "output", "samples"}
"""Request fields whose numbers are checked."""


class ReportRoute(WorkerRoute):
    """A worker route that responds with `number_too_large` if a reported number exceeds its bound in the contract.

    pydantic detects the violation, because the bounds are part of the types. All worker versions expect this error
    code.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that responds with this error instead of `invalid_field`."""
        handle = super().get_route_handler()

        async def handle_report(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                if all(_is_too_large(problem) for problem in error.errors()):
                    raise _describe(error.errors()[0]) from error
                raise

        return handle_report


def _is_too_large(problem: Any) -> bool:
    location = problem["loc"]
    return (
        problem["type"] == "less_than_equal"
        and len(location) > 1
        and location[0] == "body"
        and location[1] in REPORTED
    )


def _describe(problem: Any) -> NumberTooLarge:
    parts = [str(part) for part in problem["loc"][1:]]
    if parts[0] == "records":
        del parts[2]  # the record's type, which is not a field of the request
    return NumberTooLarge("records", field=".".join(parts), limit=problem["ctx"]["le"])
