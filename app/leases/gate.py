"""Access control for worker routes. The token is checked before the body, query and headers are read.

A caller without a valid token therefore cannot get any other error or make the server parse a large body.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from app.db.engine import Database
from app.http.headers.bearer import get_token, require_worker
from app.leases import lease

MOST_KNOWN = 10_000
"""Maximum number of valid tokens that a server process caches."""


class KnownTokens:
    """A cache of valid token hashes, which saves a query on the busiest routes.

    Tokens never change. The service checks in its own transaction whether the attempt has ended.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def check(self, database: Database, attempt_id: str, token: str) -> None:
        """Add the token to the cache. Raises InvalidToken if it does not belong to the attempt."""
        with database.reading() as session:
            lease.get_attempt(session, attempt_id, token)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[attempt_id] = lease.hash_token(token)

    def knows(self, attempt_id: str, token: str) -> bool:
        """Return whether the cache contains this token for the attempt."""
        return self._known.get(attempt_id) == lease.hash_token(token)


class WorkerRoute(APIRoute):
    """A route that requires the worker token, or the attempt's token if its path contains an attempt id."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that checks the token first."""
        handle = super().get_route_handler()

        async def handle_if_allowed(request: Request) -> Response:
            await _check_token(request)
            return await handle(request)

        return handle_if_allowed


async def _check_token(request: Request) -> None:
    token = await get_token(request)
    state = request.app.state
    attempt_id = request.path_params.get("attempt_id")
    if attempt_id is None:
        require_worker(token, state.settings)
    elif not state.known_tokens.knows(attempt_id, token):
        await run_in_threadpool(state.known_tokens.check, state.database, attempt_id, token)
