"""Plain sockets that send requests byte by byte."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.programs.server_process import Server

LIST = b"GET /v1/jobs HTTP/1.0\r\n\r\n"
FAR = 60
"""A limit in seconds that no test reaches."""


@contextlib.contextmanager
def open_socket(port: int, sent: bytes, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Connect from this loopback address and send these bytes; yield the socket."""
    place = ("127.0.0.1", port)
    with socket.create_connection(place, timeout=30, source_address=(address, 0)) as client:
        client.sendall(sent)
        yield client


def connected(
    server: Server, sent: bytes = b""
) -> contextlib.AbstractContextManager[socket.socket]:
    return open_socket(server.port, sent)


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes the connection; raise TimeoutError if it does not."""
    received = b""
    while chunk := client.recv(65_536):
        received += chunk
    return received


def read_response(client: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Read one response, which ends when the connection closes; return its status, headers and JSON."""
    head, _, body = read_all(client).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


def post(body_bytes: int, *, headers: str = "") -> bytes:
    return (
        f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {body_bytes}\r\n{headers}\r\n"
    ).encode()


def trickle(client: socket.socket, chunk: bytes, seconds: float) -> threading.Thread:
    """Send a chunk every `seconds` until the server closes the connection."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(chunk)
                time.sleep(seconds)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread
