"""Clients that occupy connections: they stay silent, send too slowly, do not read the response, or open too many."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import cast

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.db.engine import Database
from app.edge.connections import connection_class
from app.edge.limits import ConnectionLimits
from app.migrate import migrate
from tests.app.player import Player
from tests.attacks.connections.sockets import (
    FAR,
    LIST,
    connected,
    open_socket,
    post,
    read_all,
    read_response,
    trickle,
)
from tests.programs.server_process import Server, running, serving
from tests.programs.waiting import wait_for

TINY = 0.7
"""A limit in seconds that is short enough for a test to reach."""
ARTIFACT_BYTES = 40_000_000


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server with limits that are short enough for a test to reach."""
    directory = tmp_path_factory.mktemp("strict_server")
    url = f"sqlite:///{directory}/stepline.db"
    database = Database(url)
    migrate(database)
    database.close()
    limits = {"header_seconds": TINY, "idle_seconds": TINY, "progress_seconds": TINY}
    with running(directory, url, progress_bytes=1024, **limits) as server:
        yield server


def test_a_connection_that_sends_nothing_is_closed_without_a_response(
    strict_server: Server,
) -> None:
    with connected(strict_server) as client:
        assert read_all(client) == b""


def test_a_request_head_sent_too_slowly_gets_408_at_its_deadline(strict_server: Server) -> None:
    with connected(strict_server, b"GET /v1/jobs HTTP/1.1\r\n") as client:
        trickle(client, b"X-Slow: 1\r\n", 0.05)

        status, headers, body = read_response(client)

    assert status == 408
    assert body["error"]["code"] == "head_timeout"
    assert body["error"]["type"] == "timeout_error"
    assert "STEPLINE_HEADER_SECONDS" in body["error"]["hint"]
    assert headers["connection"] == "close"
    assert headers["retry-after"] == "1"
    assert headers["x-request-id"]
    assert strict_server.client.get("/v1/jobs").status_code == 200


def test_a_second_request_on_a_connection_has_the_same_deadline_for_its_head(
    strict_server: Server,
) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(strict_server, first + b"GET /healthz HTTP/1.1\r\n") as client:
        received = read_all(client)

    assert received.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in received


def test_an_idle_connection_is_closed(strict_server: Server) -> None:
    with connected(strict_server, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as client:
        received = read_all(client)

    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_request_body_sent_too_slowly_gets_408(strict_server: Server, language: str) -> None:
    request = post(1_000_000, headers=f"Accept-Language: {language}\r\n")
    with connected(strict_server, request) as client:
        trickle(client, b"{", 0.05)

        status, _, body = read_response(client)

    assert status == 408
    assert body["error"]["code"] == "body_timeout"
    assert ("请求体" in body["error"]["message"]) == (language == "zh")
    assert strict_server.post().status_code == 201
    assert "Traceback" not in strict_server.log.read_text()


def test_the_connection_is_closed_after_the_response_if_the_request_body_never_ends(
    strict_server: Server,
) -> None:
    with connected(strict_server, post(10**9).replace(b"/v1/jobs", b"/nowhere")) as client:
        received = read_all(client)

    assert received.startswith(b"HTTP/1.1 404")
    assert received.count(b"HTTP/1.1") == 1


def test_a_slow_upload_that_makes_progress_succeeds(strict_server: Server) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a" * 400}]
    rows = f"{json.dumps({'messages': turns})}\n" * 60
    part = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="rows.jsonl"\r\n\r\n'
        f"{rows}\r\n--b--\r\n"
    ).encode()
    head = (
        "POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(part)}\r\n\r\n"
    ).encode()
    with connected(strict_server, head) as client:
        began = time.monotonic()
        for start in range(0, len(part), 1000):
            client.sendall(part[start : start + 1000])
            time.sleep(0.08)
        seconds = time.monotonic() - began

        status, _, body = read_response(client)

    assert seconds > 3 * TINY, "the upload was meant to outlast several windows"
    assert status == 201, body


def test_a_client_is_not_timed_out_while_the_application_does_not_read() -> None:
    """The clients' windows end at the same time. One client sends too little, and the others cannot send."""
    may_read = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/busy":
            await run_in_threadpool(may_read.wait, FAR)
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def request(path: bytes, headers: str = "") -> bytes:
        return post(200_000, headers=headers).replace(b"/v1/jobs", path)

    with (
        serving(
            application, http=connection_class(ConnectionLimits(FAR, FAR, TINY, 65_536, 0))
        ) as port,
        open_socket(port, request(b"/busy", "Expect: 100-continue\r\n")) as expecting,
        open_socket(port, request(b"/busy") + b" " * 100_000) as blocked,
        open_socket(port, request(b"/quick") + b" ") as slow,
    ):
        for client in (slow, expecting, blocked):
            client.settimeout(FAR)
        assert slow.recv(65_536).startswith(b"HTTP/1.1 408")

        may_read.set()
        assert expecting.recv(65_536).startswith(b"HTTP/1.1 100")
        expecting.sendall(b" " * 200_000)
        blocked.sendall(b" " * 100_000)

        assert expecting.recv(65_536).startswith(b"HTTP/1.1 204")
        assert blocked.recv(65_536).startswith(b"HTTP/1.1 204")


@pytest.fixture(scope="module")
def download(strict_server: Server) -> tuple[Server, bytes]:
    """Return a server with an artifact larger than any socket buffer, and the request that downloads it."""
    player = Player(cast("TestClient", strict_server.client))
    player.submit()
    claim = player.claim()
    assert player.put_artifact(claim, content=bytes(ARTIFACT_BYTES)).status_code == 201
    path = f"/v1/jobs/{claim.job_id}/artifacts/adapter.zip"
    lines = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", "", "")
    return strict_server, "\r\n".join(lines).encode()


def test_a_client_that_does_not_read_its_download_is_disconnected(
    download: tuple[Server, bytes],
) -> None:
    server, request = download
    process = psutil.Process(server.process.pid)
    with connected(server, request) as client:
        number = client.getsockname()[1]

        def is_held() -> bool:
            return any(
                each.raddr and each.raddr.port == number for each in process.net_connections()
            )

        wait_for(lambda: client.recv(1, socket.MSG_PEEK) != b"")
        wait_for(lambda: not is_held())

    assert server.client.get("/v1/jobs").status_code == 200
    assert all("artifacts" not in each.path for each in process.open_files())


def test_a_client_that_reads_its_download_slowly_receives_all_of_it(
    download: tuple[Server, bytes],
) -> None:
    server, request = download
    with connected(server, request) as client:
        got, began = 0, time.monotonic()
        while chunk := client.recv(256 * 1024):
            got += len(chunk)
            time.sleep(0.02)
        seconds = time.monotonic() - began

    assert seconds > 2 * TINY, "the download was meant to outlast several windows"
    assert got > ARTIFACT_BYTES


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "invalid_http"),
        (b"HELLO\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_http"),  # without Host
        (post(-1), 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000, 431, "head_too_large"),
        (LIST[:-2] + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n", 431, "head_too_large"),
    ],
)
def test_invalid_http_gets_a_json_error(
    strict_server: Server, sent: bytes, status: int, code: str
) -> None:
    with connected(strict_server, sent) as client:
        found, headers, body = read_response(client)

    assert (found, body["error"]["code"]) == (status, code)
    assert headers["content-type"] == "application/json"
    assert headers["x-should-retry"] == "false"
    assert "bytearray" not in body["error"]["message"]
    assert headers["x-request-id"]


def test_a_body_with_invalid_chunks_gets_a_json_error(strict_server: Server) -> None:
    head = post(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with connected(strict_server, head + b"5\r\nhello\r\nnot a length\r\n") as client:
        status, _, body = read_response(client)

    assert (status, body["error"]["code"]) == (400, "invalid_http")
    assert "Traceback" not in strict_server.log.read_text()
