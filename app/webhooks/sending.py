"""Sends one webhook. It connects only to an address that has been checked, and follows no redirects."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.webhooks.addresses import AddressRefused, resolve

SECONDS = 15.0
"""Time limit for one try, from the connection to the head of the response."""


@dataclass(frozen=True)
class Answer:
    """The result of a try."""

    status: int | None
    error: str | None
    """See Try; None if the receiver accepted the event."""


Resolve = Callable[[str, int, Sequence[str]], str]


def send(
    url: str,
    headers: Mapping[str, str],
    body: str,
    networks: Sequence[str],
    *,
    seconds: float = SECONDS,
    resolve: Resolve = resolve,
) -> Answer:
    """POST the body to a receiver. Failures of the receiver or the network do not raise an exception."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_tls = parts.scheme == "https"
    expired = threading.Event()
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    timer: threading.Timer | None = None
    all_headers = {"Content-Type": "application/json", "User-Agent": "stepline", **headers}
    try:
        address = resolve(host, port, networks)
        connection.sock = opened = socket.create_connection((address, port), timeout=seconds)
        if is_tls:
            # The certificate must be valid for the host's name. The timer is started before the handshake.
            context = ssl.create_default_context()
            connection.sock = opened = context.wrap_socket(
                opened, server_hostname=host, do_handshake_on_connect=False
            )
        timer = _close_after(seconds, opened, expired)
        if isinstance(opened, ssl.SSLSocket):
            opened.do_handshake()
        connection.request("POST", target, body.encode(), all_headers)
        status = connection.getresponse().status
    except AddressRefused:
        return Answer(None, "address_refused")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, "timeout" if expired.is_set() else _problem(error))
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()
    if 200 <= status < 300:
        return Answer(status, None)
    return Answer(status, "redirect" if 300 <= status < 400 else "status")


def _problem(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case ssl.SSLError():
            return "tls"
        case socket.gaierror():
            return "unresolved"
        case _:
            return "connection"


def _close_after(
    seconds: float, opened: socket.socket, expired: threading.Event
) -> threading.Timer:
    """End the connection after this time, because a receiver may send a byte just before each timeout."""

    def close() -> None:
        expired.set()
        with contextlib.suppress(OSError):  # it may already have been closed
            socket.socket.shutdown(
                opened, socket.SHUT_RDWR
            )  # without the TLS layer, which another thread uses

    timer = threading.Timer(seconds, close)
    timer.daemon = True
    timer.start()
    return timer
