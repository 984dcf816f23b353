"""Long polls, which wait for a job to change. One database query serves all of them.

A long poll uses neither a thread nor a database connection. A single task reads the versions of all awaited jobs a few
times per second and wakes the polls whose jobs have changed.
"""

import asyncio
import threading
from collections.abc import Sequence

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.http.disconnects import wait_for_disconnect
from app.jobs import store

log = structlog.get_logger(__name__)

QUERY_SECONDS = 0.25
"""Time between queries."""


class Waits:
    """All long polls in this process."""

    def __init__(self, database: Database, stopping: threading.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._limiter = CapacityLimiter(1)
        self._waiting: dict[asyncio.Event, tuple[str, int]] = {}
        """For each poll: the event that wakes it, its job, and the version known to its client."""
        self._watching: asyncio.Task[None] | None = None

    async def wait_for_change(
        self, request: Request, job_id: str, version: int, seconds: float
    ) -> None:
        """Wait until the job's version changes, the time elapses, the client disconnects, or the server stops."""
        changed = asyncio.Event()
        self._waiting[changed] = (job_id, version)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        ends = [
            asyncio.create_task(changed.wait()),
            asyncio.create_task(wait_for_disconnect(request)),
        ]
        try:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ends:
                each.cancel()
            del self._waiting[changed]

    async def _watch(self) -> None:
        """Query until no polls are waiting."""
        while self._waiting:
            try:
                await self._query()
            except SQLAlchemyError as error:
                log.warning("long polls cannot read the database", error=str(error))
            except Exception:
                # One failed query must not end all waits.
                log.exception("the query for long polls failed")
            await asyncio.sleep(QUERY_SECONDS)

    async def _query(self) -> None:
        versions: dict[str, int] = {}
        waiting = dict(self._waiting)
        if not self._stopping.is_set():
            job_ids = list({job_id for job_id, _ in waiting.values()})
            versions = await to_thread.run_sync(self._versions, job_ids, limiter=self._limiter)
        for changed, (job_id, version) in waiting.items():
            if self._stopping.is_set() or versions.get(job_id) != version:
                changed.set()

    def _versions(self, job_ids: Sequence[str]) -> dict[str, int]:
        with self._database.reading() as session:
            return store.list_versions(session, job_ids)
