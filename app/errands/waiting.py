"""Requests that wait for errands: workers wait for one to claim, users for a result. One database query serves all of them.

A waiting request holds neither a thread nor a database connection. A change made by this process ends the wait immediately; a change
made by another server process is found by the query.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Annotated

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.errands import store
from app.http.disconnects import wait_for_disconnect
from contracts.errands.errand import ErrandStatus

log = structlog.get_logger(__name__)

QUERY_SECONDS = 1.0
"""Time between queries if this process makes no changes to errands."""
TICK_SECONDS = 0.25
"""Time between checks of whether the server is stopping."""

Open = Mapping[str, ErrandStatus]
"""The status of each errand that has not ended, by its id."""


class ErrandWaits:
    """All requests in this process that wait for errands."""

    def __init__(self, database: Database, stopping: threading.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._limiter = CapacityLimiter(1)
        self._waiting: dict[asyncio.Event, Callable[[Open], bool]] = {}
        """For each request: the event that wakes it, and the condition on the open errands that ends its wait."""
        self._watching: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Query the errands now. Call this after committing a change; any thread may call it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    async def wait(self, request: Request, is_over: Callable[[Open], bool], seconds: float) -> bool:
        """Wait until the open errands satisfy `is_over`, the time has elapsed, or the server stops.

        Return False if the client has disconnected.
        """
        woken = asyncio.Event()
        self._waiting[woken] = is_over
        self._loop = asyncio.get_running_loop()
        self._changed.set()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        waking = asyncio.create_task(woken.wait())
        leaving = asyncio.create_task(wait_for_disconnect(request))
        try:
            await asyncio.wait(
                (waking, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return not leaving.done()
        finally:
            waking.cancel()
            leaving.cancel()
            del self._waiting[woken]

    async def _watch(self) -> None:
        """Query until no request is waiting."""
        loop = asyncio.get_running_loop()
        query_at = 0.0
        while self._waiting and not self._stopping.is_set():
            if self._changed.is_set() or loop.time() >= query_at:
                self._changed.clear()
                query_at = loop.time() + QUERY_SECONDS
                await self._query()
            try:
                await asyncio.wait_for(self._changed.wait(), TICK_SECONDS)
            except TimeoutError:
                continue
        for woken in self._waiting:
            woken.set()

    async def _query(self) -> None:
        try:
            found = await to_thread.run_sync(self._read, limiter=self._limiter)
        except SQLAlchemyError as error:
            log.warning("requests waiting for errands cannot read the database", error=str(error))
            return
        for woken, is_over in list(self._waiting.items()):
            if is_over(found):
                woken.set()

    def _read(self) -> Open:
        with self._database.reading() as session:
            return store.list_open(session)


async def get_waits(request: Request) -> ErrandWaits:
    """Return the server's ErrandWaits."""
    waits: ErrandWaits = request.app.state.errand_waits
    return waits


ErrandWaitsDep = Annotated[ErrandWaits, Depends(get_waits)]
