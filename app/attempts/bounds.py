"""The error for numbers beyond the bounds of the contracts, in what a worker reports."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from app.errors.kinds import NumberTooLarge
from app.leases.gate import WorkerRoute

REPORTED = {"records", "output", "samples"}
"""Fields of a request whose numbers are checked."""


class ReportRoute(WorkerRoute):
    """A worker's route that answers `number_too_large` where a reported number is above the contract's bound.

    The bounds belong to the types, so pydantic finds the number; workers of every version know this code for it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with this error in place of `invalid_field`."""
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
        del parts[2]  # the kind of the record, which is no field of the request
    return NumberTooLarge("records", field=".".join(parts), limit=problem["ctx"]["le"])
