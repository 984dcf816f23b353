"""The sweep: work that is not triggered by requests. It ends lost attempts, repeats rings, and deletes orphaned files.

The sweep also ends expired errands and uploads, deletes expired files, ends unusable reservations, and deletes workers that
have not reported for a week. It is a task in the server's lifespan. Its work runs in a thread, in only one process at a time.
"""

import asyncio
import math
import time
from collections import Counter

import structlog
from starlette.concurrency import run_in_threadpool

from app.attempts import store as attempt_rows
from app.attempts.finish import lose_attempt
from app.config.settings import Settings
from app.datasets.validation import service as validations
from app.db.engine import Database, database_now
from app.db.ids import new_id
from app.doorbell import Doorbell, is_ring_due
from app.errands import holding as errands
from app.files import service as files
from app.jobs.queue import order as queue
from app.jobs.queue import reservations
from app.jobs.requests import idempotency
from app.leases.lease import Times
from app.openai.jobs import retries
from app.ops.process import return_memory
from app.storage.data_dir import Storage
from app.sweep.leader import lead
from app.sweep.leftovers import remove_leftovers
from app.uploads import service as uploads
from app.workers import store as workers

log = structlog.get_logger(__name__)

TASK = "sweep"
TERMS = 3
"""Number of sweeps that a leader may miss before another process takes over."""


LEFTOVERS_SECONDS = 3600.0
"""Time between searches for orphaned files."""

GROWTH_BYTES = 16 * 1024**2
"""Memory growth after which a sweep returns freed memory to the operating system."""


class Sweeper:
    """Sweeps periodically. Every server process has a sweeper, but only the leader does the work."""

    def __init__(self, database: Database, settings: Settings, doorbell: Doorbell) -> None:
        self._database = database
        self._settings = settings
        self._doorbell = doorbell
        self._times = Times.of(settings)
        self._holder = new_id("sweep")
        self._storage = Storage(settings.data_dir)
        self._searched_at = -math.inf

    async def run(self) -> None:
        """Sweep until cancelled."""
        held = 0
        while True:
            try:
                await run_in_threadpool(self.sweep_once)
            except Exception:
                # Outermost handler: the next sweep may succeed, for example when the database is available again.
                log.exception("sweep failed")
            held = await run_in_threadpool(return_memory, held + GROWTH_BYTES)
            await asyncio.sleep(self._settings.sweep_seconds)

    def sweep_once(self) -> None:
        """Do all work that is due, unless another process is the leader."""
        if not self._lead():
            return
        rings: Counter[str] = Counter()
        for attempt_id in self._silent_attempts():
            with self._database.writing() as session:
                lost = lose_attempt(session, attempt_id, self._times)
            if lost is None:
                continue
            job_id, to_ring = lost
            log.warning("attempt lost", job_id=job_id, attempt_id=attempt_id)
            rings.update(to_ring)
        with self._database.writing() as session:
            rings.update(reservations.end_unusable(session, database_now(session)))
        with self._database.writing() as session:
            ended = errands.end_expired(session)
        if ended:
            log.warning("errands expired", errands=ended)
        uploads.end_expired(self._database, self._storage)
        files.delete_expired(self._database, self._storage)
        # A queue in both counters gets the larger count.
        for name, times in (rings | self._queues_to_ring()).items():
            self._doorbell.ring(name, times)
        if time.monotonic() - self._searched_at >= LEFTOVERS_SECONDS:
            self._searched_at = time.monotonic()
            self._forget_workers()
            with self._database.writing() as session:
                validations.forget_failed(session, database_now(session))
            remove_leftovers(self._database, self._storage)
        self._storage.keep_reserve()

    def _lead(self) -> bool:
        with self._database.writing() as session:
            now = database_now(session)
            term_seconds = TERMS * self._settings.sweep_seconds
            silent_seconds = lead(session, TASK, self._holder, now, term_seconds)
            if silent_seconds is None:
                return False
            if silent_seconds > self._settings.lease_seconds:
                # No server was running to receive syncs, so workers may still be training.
                attempt_rows.extend_all(session, self._times.takeover_at(now))
                if math.isfinite(silent_seconds):  # not on a new database
                    log.info("leases extended", silent_seconds=silent_seconds)
            if silent_seconds > errands.LEASE_SECONDS:
                errands.extend_running(session)
            idempotency.forget_old_keys(session, now)
            retries.forget_old(session, now)
            files.forget_deleted(session, now)
        return True

    def _forget_workers(self) -> None:
        with self._database.writing() as session:
            forgotten = workers.forget_silent(session, database_now(session))
        if forgotten:
            log.info("silent workers forgotten", workers=forgotten)

    def _silent_attempts(self) -> list[str]:
        with self._database.reading() as session:
            return list(attempt_rows.list_silent(session, database_now(session)))

    def _queues_to_ring(self) -> Counter[str]:
        """Return queues with claimable jobs that have not been rung recently, and how many times to ring each.

        One ring starts one job on one worker. The broker may have lost all rings, so each live worker gets one. Workers
        whose devices have failed also take rings, so they are counted too, unless no worker can run jobs.
        """
        due: Counter[str] = Counter()
        with self._database.reading() as session:
            queues = queue.list_queues(session)
        for name in queues:
            with self._database.writing() as session:
                now = database_now(session)
                count = queue.count_rings(session, name, now)
                if count and is_ring_due(session, name, now, self._settings.ring_seconds):
                    due[name] = count
        return due
