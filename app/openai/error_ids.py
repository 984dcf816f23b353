"""Route class for fine-tuning jobs: errors refer to a job by the id that OpenAI's clients use."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from app.db.ids import fine_tuning_id
from app.errors.base import AppError
from app.http.json_body import JsonRoute


class FineTuningRoute(JsonRoute):
    """A route for JSON whose errors contain `ftjob-…` instead of `job_…`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which replaces the value `job` of an AppError."""
        handle = super().get_route_handler()

        async def handle_renamed(request: Request) -> Response:
            try:
                return await handle(request)
            except AppError as error:
                if "job" in error.figures:
                    error.figures["job"] = fine_tuning_id(str(error.figures["job"]))
                raise

        return handle_renamed
