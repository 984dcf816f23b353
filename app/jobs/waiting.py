"""Long polls: an answer that waits for something to happen, without holding a thread or a connection."""

import asyncio
import threading
import time

from starlette.concurrency import run_in_threadpool

from app.db import Database
from app.jobs import store

LOOK_SECONDS = 0.25
"""Time between two looks at the job."""


async def wait_for_change(
    database: Database, job_id: str, version: int, seconds: float, stopping: threading.Event
) -> None:
    """Return when the job is no longer at this version, the time is over, or the server stops."""

    def look() -> int | None:
        with database.reading() as session:
            return store.find_version(session, job_id)

    give_up_at = time.monotonic() + seconds
    while await run_in_threadpool(look) == version and not stopping.is_set():
        left = give_up_at - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(LOOK_SECONDS, left))
