"""JSON request bodies, with the same nesting limit as dataset rows."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.errors.kinds import BodyTooDeep
from contracts.values.nesting import MAX_DEPTH, TooDeep, check_text


class JsonRoute(APIRoute):
    """A route that rejects deeply nested JSON bodies, even if the interpreter could parse them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, preceded by a check of the body. Raises BodyTooDeep."""
        handle = super().get_route_handler()

        async def handle_checked(request: Request) -> Response:
            body = await request.body()
            try:
                # Decode the body in the same way as the parser.
                check_text(body.decode(json.detect_encoding(body), "replace"))
            except TooDeep as error:
                raise BodyTooDeep(limit=MAX_DEPTH) from error
            return await handle(request)

        return handle_checked
