"""The courier: delivers pending webhooks. It runs in a separate task, and a slow receiver delays only its own deliveries.

Every server process has a courier. Each try is claimed with an UPDATE, so two couriers never send the same try; if a server is
killed, another one repeats its try. A receiver may therefore get an event more than once, always with the same id.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog
from anyio import CapacityLimiter, to_thread

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.webhooks import sending, store
from app.webhooks.schemas import Try
from app.webhooks.sending import Answer
from app.webhooks.service import MOST_ENDPOINTS, secrets_at
from app.webhooks.signatures import signed_headers

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""Time between searches for due deliveries."""
RETRY_SECONDS = (5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600)
"""Delays after the failed tries, in order. If the try after the last delay fails too, the delivery is dead."""
CLAIM_SECONDS = 120
"""Time after which a try without a recorded result is repeated. It is longer than any try takes."""
KEPT = timedelta(days=30)
"""How long a delivery can still be read after it has ended."""
FORGET_SECONDS = 3600.0
_GONE = 410

Send = Callable[..., Answer]


class Claimed(NamedTuple):
    """A try that this process makes."""

    delivery_id: str
    endpoint_id: str
    tries: int
    """Number of the try, from 1."""
    url: str
    headers: dict[str, str]
    body: str


class Courier:
    """Delivers due webhooks, one at a time to each endpoint."""

    def __init__(self, database: Database, settings: Settings, send: Send = sending.send) -> None:
        self._database = database
        self._networks = settings.webhook_networks
        self._send = send
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._limiter = CapacityLimiter(MOST_ENDPOINTS)
        self._freed = asyncio.Event()
        """Set when an endpoint is no longer busy, so that its next delivery does not wait for the next search."""
        self._forgot_at = time.monotonic()

    async def run(self) -> None:
        """Deliver until cancelled. The next server repeats the tries that were in progress."""
        try:
            while True:
                self._freed.clear()
                if not await self._start_due():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._freed.wait(), POLL_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _start_due(self) -> bool:
        """Start the tries that are due; return whether there were any."""
        try:
            claimed = await to_thread.run_sync(self.claim_due)
        except Exception:
            # Outermost handler: the next search may succeed, for example when the database is available again.
            log.exception("webhooks could not be read")
            return False
        for each in claimed:
            self._busy.add(each.endpoint_id)
            task = asyncio.create_task(self._deliver(each))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(claimed)

    def claim_due(self) -> list[Claimed]:
        """Claim the oldest due delivery of each endpoint that is not busy."""
        self._forget()
        with self._database.reading() as session:
            now = database_now(session)
            if not store.list_due(session, now, list(self._busy), 1):
                return []
        claimed: dict[str, Claimed] = {}
        with self._database.writing() as session:
            now = database_now(session)
            while len(claimed) < MOST_ENDPOINTS:
                due = store.list_due(session, now, [*self._busy, *claimed], 1)
                if not due:
                    break
                (delivery,) = due
                number = delivery.tries + 1
                endpoint = store.find_endpoint(session, delivery.endpoint_id)
                is_claimed = endpoint is not None and store.update_delivery(
                    session,
                    delivery.id,
                    number - 1,
                    tries=number,
                    next_at=now + timedelta(seconds=CLAIM_SECONDS),
                )
                if endpoint is None or not is_claimed:
                    break  # another server has claimed it
                seconds = now.timestamp()
                signed = signed_headers(
                    delivery.event_id, int(seconds), delivery.body, secrets_at(endpoint, seconds)
                )
                claimed[endpoint.id] = Claimed(
                    delivery.id,
                    endpoint.id,
                    number,
                    endpoint.url,
                    signed,
                    delivery.body,
                )
                session.expire_all()
        return list(claimed.values())

    def deliver(self, claimed: Claimed) -> None:
        """Make a try and store its result."""
        started = time.monotonic()
        answer = self._send(claimed.url, claimed.headers, claimed.body, self._networks)
        seconds = time.monotonic() - started
        with self._database.writing() as session:
            now = database_now(session)
            made = Try(
                at=int(now.timestamp()),
                status=answer.status,
                error=answer.error,
                seconds=round(seconds, 3),
            )
            delay = _next_seconds(claimed.tries, answer)
            changed: store.DeliveryColumns = {
                "log": [*store.get_log(session, claimed.delivery_id), made.model_dump()]
            }
            if delay is None:
                changed["status"] = "dead" if answer.error else "delivered"
                changed["ended_at"] = now
            else:
                changed["next_at"] = now + timedelta(seconds=delay)
            store.update_delivery(session, claimed.delivery_id, claimed.tries, **changed)
        log.info(
            "webhook sent",
            delivery=claimed.delivery_id,
            status=answer.status,
            error=answer.error,
            tries=claimed.tries,
        )

    async def _deliver(self, claimed: Claimed) -> None:
        try:
            await to_thread.run_sync(
                partial(self.deliver, claimed), limiter=self._limiter, abandon_on_cancel=True
            )
        except Exception:
            # Outermost handler: the claim expires, and the try is repeated.
            log.exception("a webhook could not be delivered", delivery=claimed.delivery_id)
        finally:
            self._busy.discard(claimed.endpoint_id)
            self._freed.set()

    def _forget(self) -> None:
        if time.monotonic() - self._forgot_at < FORGET_SECONDS:
            return
        self._forgot_at = time.monotonic()
        with self._database.writing() as session:
            store.forget_ended(session, database_now(session) - KEPT)


def _next_seconds(tries: int, answer: Answer) -> int | None:
    """Return the delay before the next try; None if there is none."""
    if answer.error is None or answer.status == _GONE or tries > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[tries - 1]
