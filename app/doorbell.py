"""The doorbell: a Celery message that says "there is work on this queue". The only file that imports celery.

A ring does not carry a job. A separate thread publishes rings, so requests do not wait for the broker. If the broker is
unreachable, the server logs a warning and the request succeeds. The sweep rings again for jobs whose ring was lost.

Rings do not accumulate during a long job: their number is limited, and the broker deletes queues that have had no rings
for a while. Messages have no expiry time, because a worker whose clock is ahead would drop every ring.
"""

import functools
import math
import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import structlog
from fastapi import BackgroundTasks, Depends, Request
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.config.settings import Settings
from app.db.sql import insert_missing
from app.db.tables import Bell
from contracts.protocol.wire import TASK_NAME, celery_queue

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

SOCKET_SECONDS = 2
"""Timeout for a response from the broker."""
MOST_RINGS = 100
"""Maximum pending rings per queue. More would rarely wake additional workers."""


class Doorbell:
    """Sends rings to workers from one publisher thread per server process."""

    def __init__(self, settings: Settings) -> None:
        self._is_silent = not settings.doorbell
        self._expires_seconds = settings.ring_seconds
        self._broker_url = settings.broker_url
        self._pending: Counter[str] = Counter()
        """Number of rings to send by queue."""
        self._changed = threading.Condition()
        self._stopping = False
        self.state = "disabled" if self._is_silent else "not rung yet"
        """Result of the last ring, as text."""
        self._thread = threading.Thread(target=self._publish, name="doorbell", daemon=True)

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop publishing and drop pending rings; the next sweep rings again."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout=1)

    def ring(self, queue: str, times: int = 1) -> None:
        """Schedule `times` rings for a queue; each ring wakes at most one worker. Call this after the commit."""
        if self._is_silent:
            return
        with self._changed:
            self._pending[queue] += times
            self._changed.notify()

    def _publish(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._stopping)
                if self._stopping:
                    return
                queue, times = self._pending.popitem()
            try:
                self._send(queue, times)
                self.state = "ok"
            except Exception as error:  # noqa: BLE001  # the thread must survive; transports raise different errors
                self.state = f"unreachable ({type(error).__name__})"
                log.warning("doorbell", queue=queue, error=f"{type(error).__name__}: {error}")

    @functools.cached_property
    def _celery(self) -> "Celery":
        """The publisher, created on the first ring to keep startup fast."""
        return _create_publisher(self._broker_url)

    def _send(self, queue: str, times: int) -> None:
        name = celery_queue(queue)
        with self._celery.producer_pool.acquire(block=True) as producer:
            broker = producer.channel.client
            for _ in range(min(times, MOST_RINGS - broker.llen(name))):
                self._celery.send_task(
                    TASK_NAME,
                    queue=name,
                    producer=producer,
                    ignore_result=True,
                    retry=True,
                    retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0.2},
                )
            broker.pexpire(name, math.ceil(1000 * self._expires_seconds))
        log.info("doorbell", queue=queue, times=times)


def is_ring_due(session: Session, queue: str, now: datetime, interval_seconds: float) -> bool:
    """Return whether this process may ring a queue now. True for only one process per interval."""
    if insert_missing(session, Bell, [{"queue": queue, "rung_at": now}]):
        return True
    claimed = session.execute(
        update(Bell)
        .where(Bell.queue == queue, Bell.rung_at <= now - timedelta(seconds=interval_seconds))
        .values(rung_at=now)
        .returning(Bell.queue)
        .execution_options(synchronize_session=False)
    ).first()
    return claimed is not None


async def get_doorbell(request: Request) -> Doorbell:
    """Return the server's doorbell."""
    doorbell: Doorbell = request.app.state.doorbell
    return doorbell


DoorbellDep = Annotated[Doorbell, Depends(get_doorbell)]


class Rings:
    """Rings queues once the response to a request has been sent."""

    def __init__(self, background: BackgroundTasks, doorbell: Doorbell) -> None:
        self._background = background
        self._doorbell = doorbell

    def add(self, *queues: str) -> None:
        """Ring each of these queues after the response. Call this after the commit."""
        for queue in queues:
            self._background.add_task(self._doorbell.ring, queue)


async def get_rings(background: BackgroundTasks, doorbell: DoorbellDep) -> Rings:
    """Return the rings of this request."""
    return Rings(background, doorbell)


RingsDep = Annotated[Rings, Depends(get_rings)]


def _create_publisher(broker_url: str) -> "Celery":
    from celery import Celery  # noqa: PLC0415  # slow to import: a tenth of the startup time

    app = Celery("stepline", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        broker_connection_timeout=SOCKET_SECONDS,
        broker_transport_options={
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "socket_keepalive": not broker_url.startswith("redis+socket:"),
            "max_retries": 1,
        },
    )
    return app
