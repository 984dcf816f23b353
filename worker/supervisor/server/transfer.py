"""Uploads or downloads one file over HTTP, in chunks; the attempt keeps syncing between chunks."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2

from contracts.protocol.wire import SHA256_HEADER
from worker.supervisor.server.answers import ServerUnavailable, check_success, reaching_server

CHUNK_BYTES = 1024 * 1024
TIMEOUT = httpx2.Timeout(120, connect=5)
"""Timeout in seconds for connecting and for each read or write; long enough for the server to hash the file."""


class DamagedDownload(ServerUnavailable):
    """The downloaded bytes do not match the announced SHA-256."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def send_file(
    client: httpx2.Client,
    url: str,
    headers: Mapping[str, str],
    path: Path,
    *,
    pulse: Callable[[], object],
    timeout: httpx2.Timeout = TIMEOUT,
) -> httpx2.Response:
    """PUT a file. Calls pulse before and after each chunk. Raises ServerUnavailable or Refused."""

    def body() -> Iterator[bytes]:
        for chunk in read_chunks(path):
            yield chunk
            pulse()

    pulse()  # keep syncing, however often the transfer is retried
    described = {
        "Content-Length": str(path.stat().st_size),
        "Content-Type": "application/octet-stream",
    }
    with reaching_server():
        response = client.put(
            url, headers={**headers, **described}, content=body(), timeout=timeout
        )
    return check_success(response)


def receive_file(
    client: httpx2.Client,
    url: str,
    headers: Mapping[str, str],
    sha256: str,
    path: Path,
    *,
    pulse: Callable[[], object],
) -> None:
    """GET a file. Calls pulse before and after each chunk. Raises DamagedDownload, ServerUnavailable or Refused."""
    pulse()  # keep syncing, however often the transfer is retried
    digest = hashlib.sha256()
    with (
        reaching_server(),
        client.stream("GET", url, headers=headers, timeout=TIMEOUT) as response,
        path.open("wb") as file,
    ):
        if not response.is_success:
            response.read()
        check_success(response)
        for chunk in response.iter_bytes(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
            pulse()
    if digest.hexdigest() == sha256:
        return
    name = url.rpartition("/")[2]
    if SHA256_HEADER not in response.headers:
        raise ServerUnavailable(
            f"{name}: the response is from something that is not a Stepline server"
        )
    raise DamagedDownload(response.status_code, f"{name} does not have the announced SHA-256")


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
