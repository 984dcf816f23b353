"""Updates: the contents of a job's stream, in order and without gaps, across lost connections."""

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter

from stepline.client.errors import ServerUnreachable, SteplineError, Unavailable, WaitTimeout
from stepline.client.transport import LONGEST_EVENT_BYTES, Transport, pause
from stepline.client.views import Columns, Event, JobState

SILENT_SECONDS = 45.0
"""A connection counts as lost after this time without data, because the server sends a comment every few seconds."""
CLOSE_SECONDS = 2.0
"""How long `close` waits for the thread."""
MOST_WAITING = 1000
"""Maximum number of updates that wait for the consumer. At this number, reading from the connection pauses."""


@dataclass(frozen=True)
class StatusChanged:
    """The job's current state. Sent at the start and after each change."""

    job: JobState


@dataclass(frozen=True)
class Metrics:
    """New points of an attempt, by the name of the series."""

    attempt: int
    series: dict[str, Columns]


@dataclass(frozen=True)
class Rewound:
    """A new attempt has started from `step`. Discard the points after it."""

    attempt: int
    step: int


@dataclass(frozen=True)
class Happened:
    """A message to users about the job."""

    event: Event


@dataclass(frozen=True)
class Disconnected:
    """The connection was lost; the client is reconnecting. No updates are lost."""

    reason: str


@dataclass(frozen=True)
class Connected:
    """The connection has been established."""


Update = StatusChanged | Metrics | Rewound | Happened | Disconnected | Connected

_SERIES = TypeAdapter(dict[str, Columns])


class Updates:
    """Iterates over a job's updates until the job has ended or is paused. A thread reads from the connection.

    If the connection is lost, the thread tries to reconnect for `patience_seconds`; if it fails, ServerUnreachable is
    raised. `close`, or the end of a `with` block, ends the thread.
    """

    def __init__(
        self,
        transport: Transport,
        job_id: str,
        since: str | None = None,
        timeout_seconds: float | None = None,
        patience_seconds: float = 600.0,
    ) -> None:
        self._transport = transport
        self._path = f"/v1/jobs/{quote(job_id, safe='')}/stream"
        self._since = since
        self._job_id = job_id
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._queue: queue.Queue[Update | Exception | None] = queue.Queue(MOST_WAITING)
        self._stopped = threading.Event()
        self._response: httpx2.Response | None = None
        self._last_id = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Update]:
        """Yield updates. Raises WaitTimeout after `timeout_seconds`, ServerUnreachable, or ApiError."""
        deadline = (
            None if self._timeout_seconds is None else time.monotonic() + self._timeout_seconds
        )
        if not self._thread.is_alive():
            self._thread.start()
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    item = self._queue.get(timeout=left)
                except queue.Empty:
                    raise WaitTimeout(
                        f"Job {self._job_id} did not end within {self._timeout_seconds:g} s. It continues"
                    ) from None
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
                if (
                    isinstance(item, StatusChanged)
                    and item.job.is_settled
                    and not item.job.status.is_final
                ):
                    return  # the job is paused, and the server keeps the stream open
        finally:
            self.close()

    def close(self) -> None:
        """End the thread and close its connection."""
        self._stopped.set()
        response = self._response
        stream = None if response is None else response.extensions.get("network_stream")
        connection = None if stream is None else stream.get_extra_info("socket")
        if connection is not None:
            # This wakes the thread; closing the response would not. The connection may already have ended.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            self._read_until_done()
            self._put(None)
        except Exception as error:  # noqa: BLE001  # the consumer raises it
            self._put(error)

    def _read_until_done(self) -> None:
        failures = 0
        connected_at = time.monotonic()
        while not self._stopped.is_set():
            try:
                if self._read_connection():
                    return
                failures = 0
                connected_at = time.monotonic()
                reason = "the server closed the connection"
            except (ServerUnreachable, Unavailable) as error:
                reason = str(error)
                if self._response is not None:
                    failures = 0
                    connected_at = time.monotonic()
                if time.monotonic() - connected_at > self._patience_seconds:
                    raise
            finally:
                self._response = None
            failures += 1
            self._put(Disconnected(reason))
            self._stopped.wait(pause(failures))

    def _read_connection(self) -> bool:
        """Read one connection until it ends; return whether the stream is complete."""
        headers = {"Accept": "text/event-stream"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        params = {} if self._since is None else {"since": self._since}
        timeout = httpx2.Timeout(SILENT_SECONDS, connect=10.0)
        with self._transport.stream(
            "GET", self._path, headers=headers, params=params, timeout=timeout
        ) as response:
            if response.status_code == httpx2.codes.NO_CONTENT:
                return True
            self._response = response
            self._put(Connected())
            for sent in httpx2.EventSource(response, LONGEST_EVENT_BYTES):
                if self._stopped.is_set():
                    return True
                if sent.event == "done":
                    return True
                try:
                    update = _read(sent)
                except (ValueError, KeyError, TypeError) as error:
                    raise SteplineError(
                        f"The stream of {self._job_id} contains a {sent.event!r} event that this client cannot read. "
                        "Update the client"
                    ) from error
                if update is not None:
                    self._put(update)
                self._last_id = sent.id or self._last_id
        return False

    def _put(self, item: Update | Exception | None) -> None:
        while not self._stopped.is_set():
            try:
                return self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
        return None


def _read(sent: httpx2.ServerSentEvent) -> Update | None:
    """Return the update for an event; None for unknown events from a newer server and events that clients do not need."""
    match sent.event:
        case "status":
            return StatusChanged(JobState.model_validate_json(sent.data))
        case "metrics":
            data: Any = sent.json()
            return Metrics(data["attempt"], _SERIES.validate_python(data["series"]))
        case "rewind":
            data = sent.json()
            return Rewound(data["attempt"], data["rewind_to_step"])
        case "event":
            return Happened(Event.model_validate_json(sent.data))
        case _:
            return None
