"""A reader of Server-Sent Events for tests. It collects the events of a stream in its own thread."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx2


@dataclass(frozen=True)
class ReceivedEvent:
    """One event."""

    event: str
    data: Any
    id: str | None


class Reader:
    """Reads one stream until it ends or the test stops it."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.events: list[ReceivedEvent] = []
        self.has_ended = False
        """Whether the server ended the stream properly."""
        self.status: int | None = None
        self._url, self._headers = url, headers or {}
        self._client = httpx2.Client(timeout=60, trust_env=False)
        self._socket: socket.socket | None = None
        self._is_cut = False
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Close the connection."""
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
        self._thread.join(timeout=20)
        self._client.close()

    @property
    def last_id(self) -> str | None:
        """The id that a browser would send to reconnect."""
        return next((each.id for each in reversed(self.events) if each.id is not None), None)

    def named(self, event: str) -> list[Any]:
        """Return the data of all events with this name that have arrived so far."""
        return [each.data for each in list(self.events) if each.event == event]

    def losses(self) -> dict[int, float]:
        """Return the loss points that a page would show."""
        return series_after(list(self.events)).get("loss", {})

    def wait(self, is_met: Callable[[Self], object], seconds: float = 30) -> None:
        """Wait until the events meet the condition."""
        deadline = time.monotonic() + seconds
        while not is_met(self):
            assert time.monotonic() < deadline, [(each.event, each.id) for each in self.events]
            time.sleep(0.01)

    def _read(self) -> None:
        try:
            with self._client.stream("GET", self._url, headers=self._headers) as response:
                network = response.extensions["network_stream"]
                self._socket = network.get_extra_info("socket")
                self.status = response.status_code
                fields: dict[str, str] = {}
                for line in response.iter_lines():
                    if self._is_cut:
                        return
                    if line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                        continue
                    if "data" in fields:
                        data = json.loads(fields["data"])
                        self.events.append(ReceivedEvent(fields["event"], data, fields.get("id")))
                    fields = {}
            self.has_ended = not self._is_cut
        except (httpx2.TransportError, httpx2.StreamError, RuntimeError, OSError):
            pass  # the test closed the connection, or the server died


def series_after(events: list[ReceivedEvent]) -> dict[str, dict[int, float]]:
    """Return the series that a page shows after these events."""
    held: dict[str, dict[int, float]] = {}
    for each in events:
        if each.event == "rewind":
            for points in held.values():
                for step in [step for step in points if step > each.data["rewind_to_step"]]:
                    del points[step]
        if each.event == "metrics":
            for name, columns in each.data["series"].items():
                pairs = zip(columns["step"], columns["value"], strict=True)
                held.setdefault(name, {}).update(pairs)
    return held
