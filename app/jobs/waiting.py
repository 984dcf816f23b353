"""Long polls: an answer that waits for something to happen, without holding a thread or a connection."""

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from app.db import Database
from app.errors import JobNotFound
from app.jobs import store

LOOK_SECONDS = 0.25
"""Time between two looks at the job."""


async def wait_for_change(
    database: Database, job_id: str, seconds: float, stopping: asyncio.Event
) -> None:
    """Return when the job has changed, has ended, the time is over, or the server stops."""

    def look() -> tuple[int, bool]:
        with database.reading() as session:
            state = store.find_state(session, job_id)
        if state is None:
            raise JobNotFound(job=job_id)
        return state

    give_up_at = time.monotonic() + seconds
    version, has_ended = await run_in_threadpool(look)
    first = version
    while version == first and not has_ended and not stopping.is_set():
        left = give_up_at - time.monotonic()
        if left <= 0:
            return
        try:
            await asyncio.wait_for(stopping.wait(), min(LOOK_SECONDS, left))
        except TimeoutError:
            version, has_ended = await run_in_threadpool(look)
