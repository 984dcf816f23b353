"""Access to the routes of workers. The token is checked before body, query and headers are read.

A caller without a valid token therefore learns only that, and cannot make the server parse a large body.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from app.db.engine import Database
from app.http.bearer import get_token, require_worker
from app.leases import lease

MOST_KNOWN = 10_000
"""Most valid tokens that a server process caches."""


class KnownTokens:
    """A cache of valid tokens, as hashes, that saves the busiest routes a query.

    A token never changes. Whether its attempt has ended is checked by the service, in its own transaction.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def check(self, database: Database, attempt_id: str, token: str) -> None:
        """Add the token to the cache. Raises InvalidToken unless it is the attempt's own."""
        with database.reading() as session:
            lease.get_ended(session, attempt_id, token)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[attempt_id] = lease.hash_token(token)

    def knows(self, attempt_id: str, token: str) -> bool:
        """Return whether the cache has this token of the attempt."""
        return self._known.get(attempt_id) == lease.hash_token(token)


class WorkerRoute(APIRoute):
    """A route that needs the worker token, or the attempt's own token if its path names an attempt."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, preceded by the check of the token."""
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
