"""Who may use a worker's route. The token is checked before body, query and headers are read.

A stranger therefore learns nothing but that the token is wrong, and cannot make the server parse a large body.
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
"""Tokens that a server remembers to be good."""


class KnownTokens:
    """Attempts whose token has been seen, by its hash, so that the busiest routes do not read it from the database twice.

    A token never changes, and what it may still do is decided by the service, within its own transaction.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def check(self, database: Database, attempt_id: str, token: str) -> None:
        """Raise InvalidToken unless the token is the attempt's own."""
        with database.reading() as session:
            lease.get_ended(session, attempt_id, token)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[attempt_id] = lease.hash_token(token)

    def knows(self, attempt_id: str, token: str) -> bool:
        """Return whether the token has been found to be the attempt's own."""
        return self._known.get(attempt_id) == lease.hash_token(token)


class WorkerRoute(APIRoute):
    """A route that takes the worker token, or where its path names an attempt, that attempt's own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, behind the check of the token."""
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
