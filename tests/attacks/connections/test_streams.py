"""Streams and long polls are capped per peer and in total, and opening hundreds of them leaks no resources."""

import contextlib
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.programs.server_process import Server, migrated, running
from tests.programs.waiting import wait_for

OTHER = "127.0.0.2"
PER_PEER = 3
IN_TOTAL = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server with low caps that trusts a proxy at 127.0.0.9."""
    directory = tmp_path_factory.mktemp("capped")
    limits = {"streams_per_peer": PER_PEER, "streams": IN_TOTAL, "trusted_proxies": "127.0.0.9"}
    with running(directory, migrated(directory), **limits) as server:
        yield server


@pytest.fixture
def job(server: Server) -> str:
    return str(server.post().json()["id"])


@contextlib.contextmanager
def open_request(
    server: Server, path: str, address: str = "127.0.0.1", headers: str = ""
) -> Iterator[socket.socket]:
    """Send a request from this loopback address; yield the socket."""
    place = ("127.0.0.1", server.port)
    with socket.create_connection(place, timeout=30, source_address=(address, 0)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode())
        yield client


def read_until(client: socket.socket, text: bytes) -> bytes:
    received = b""
    while text not in received:
        chunk = client.recv(65_536)
        assert chunk, received
        received += chunk
    return received


def is_streamed(server: Server, job: str, address: str = "127.0.0.1", headers: str = "") -> bool:
    """Return whether the server accepts another stream, which is closed immediately."""
    with open_request(server, f"/v1/jobs/{job}/stream", address, headers) as client:
        return read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_each_peer_has_its_own_cap_on_streams(server: Server, job: str) -> None:
    with contextlib.ExitStack() as stack:
        path = f"/v1/jobs/{job}/stream"
        held = [stack.enter_context(open_request(server, path)) for _ in range(PER_PEER)]
        for each in held:
            read_until(each, b"event: status")

        rejected = server.client.get(path, headers={"Accept-Language": "zh"})

        assert rejected.status_code == 429
        assert rejected.headers["retry-after"] == "10"
        error = rejected.json()["error"]
        assert (error["code"], error["type"]) == ("too_many_streams", "rate_limit_error")
        assert "事件流" in error["message"]
        assert "STEPLINE_STREAMS_PER_PEER" in error["hint"]
        assert server.client.get("/v1/jobs").status_code == 200
        assert is_streamed(server, job, OTHER)

        held[0].close()
        wait_for(lambda: is_streamed(server, job))


def test_the_total_number_of_streams_is_capped(server: Server, job: str) -> None:
    with contextlib.ExitStack() as stack:
        path = f"/v1/jobs/{job}/stream"
        for number in range(IN_TOTAL):
            each = stack.enter_context(open_request(server, path, f"127.0.0.{20 + number}"))
            read_until(each, b"event: status")

        rejected = server.client.get(path)

        assert rejected.status_code == 429
        assert rejected.json()["error"]["code"] == "streams_full"
    wait_for(lambda: is_streamed(server, job))


def test_long_polls_count_toward_the_same_cap(server: Server, job: str) -> None:
    with contextlib.ExitStack() as stack:
        path = f"/v1/jobs/{job}?wait=60"
        polls = {stack.enter_context(open_request(server, path)) for _ in range(PER_PEER + 1)}
        first, _, _ = select.select(polls, [], [], 30)
        polls.difference_update(first)

        assert [b"too_many_streams" in read_until(each, b"}") for each in first] == [True]
        assert server.client.get(f"/v1/jobs/{job}").status_code == 200
        assert not is_streamed(server, job)
        server.client.post(f"/v1/jobs/{job}/cancel")
        for each in polls:
            read_until(each, b'"cancelled"')


def test_a_long_poll_releases_its_slot_when_its_client_disconnects(
    server: Server, job: str
) -> None:
    with contextlib.ExitStack() as stack:
        path = f"/v1/jobs/{job}?wait=60"
        polls = [stack.enter_context(open_request(server, path)) for _ in range(PER_PEER + 1)]
        select.select(polls, [], [], 30)  # once one is rejected, the others are open

    wait_for(lambda: is_streamed(server, job))


def test_clients_that_disconnect_cause_no_errors_in_the_server(tmp_path: Path) -> None:
    with running(tmp_path, migrated(tmp_path)) as server:
        job = server.post().json()["id"]
        for path in (f"/v1/jobs/{job}/stream", f"/v1/jobs/{job}?wait=60"):
            for _ in range(3):
                with open_request(server, path) as client:
                    if path.endswith("stream"):
                        read_until(client, b"event: status")
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.client.post(f"/v1/jobs/{job}/cancel")
        server.stop()

        assert [line for line in server.log_lines() if line["level"] == "error"] == []


def test_a_client_cannot_claim_to_be_another_peer(server: Server, job: str) -> None:
    with contextlib.ExitStack() as stack:
        path = f"/v1/jobs/{job}/stream"
        for number in range(PER_PEER):
            headers = f"X-Forwarded-For: 10.0.0.{number}\r\n"
            read_until(
                stack.enter_context(open_request(server, path, headers=headers)), b"event: status"
            )

        assert not is_streamed(server, job, headers="X-Forwarded-For: 10.0.0.99\r\n")


def test_behind_a_trusted_proxy_each_client_counts_as_its_own_peer(
    server: Server, job: str
) -> None:
    with contextlib.ExitStack() as stack:
        path, proxy = f"/v1/jobs/{job}/stream", "127.0.0.9"
        one, other = (f"X-Forwarded-For: 10.0.0.{number}\r\n" for number in (1, 2))
        for _ in range(PER_PEER):
            each = stack.enter_context(open_request(server, path, proxy, one))
            read_until(each, b"event: status")

        assert not is_streamed(server, job, proxy, one)
        assert is_streamed(server, job, proxy, other)


STORM_STREAMS = 80
STORM_SLOW = 30
ROUNDS = 3


def test_opening_many_streams_leaks_no_open_files_threads_or_memory(tmp_path: Path) -> None:
    with running(tmp_path, migrated(tmp_path), streams_per_peer=0, sweep_seconds=1) as server:
        job = server.post().json()["id"]
        process = psutil.Process(server.process.pid)
        files_before = process.num_fds()
        after = []
        for _ in range(ROUNDS):
            with contextlib.ExitStack() as stack:
                streams = [
                    stack.enter_context(open_request(server, f"/v1/jobs/{job}/stream"))
                    for _ in range(STORM_STREAMS)
                ]
                for _ in range(STORM_SLOW):
                    slow = stack.enter_context(open_request(server, "/v1/jobs", headers="X-Half: "))
                    slow.sendall(b"POST")
                for each in streams:
                    read_until(each, b"event: status")
                threads = process.num_threads()
                assert server.client.get("/v1/jobs").status_code == 200
            wait_for(lambda: process.num_fds() < files_before + 30)
            handles = [each for each in process.open_files() if "stepline.db" in each.path]
            after.append((len(handles), process.memory_info().rss))

        assert threads < 15, "opening streams must not occupy the threads of other requests"
        assert max(handles for handles, _ in after) <= 16, "an earlier version left 55 to 81 open"
        assert after[-1][1] < 1.2 * after[0][1], "memory must not grow with each round of streams"
