"""Many connections at the same time: the cap per peer, the limit on open files, and the queue of a busy server."""

import contextlib
import signal
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.db.engine import Database
from app.migrate import migrate
from tests.attacks.connections.sockets import (
    FAR,
    LIST,
    connected,
    open_socket,
    read_all,
    read_response,
)
from tests.programs.server_process import Server, running
from tests.programs.waiting import wait_for


def test_connections_per_peer_are_capped_and_other_peers_are_still_served(
    tmp_path: Path, sqlite_url: str
) -> None:
    with (
        running(tmp_path, sqlite_url, connections_per_peer=5, header_seconds=FAR) as server,
        contextlib.ExitStack() as stack,
    ):
        server.client.close()  # its connection counts too
        held = [stack.enter_context(connected(server)) for _ in range(5)]

        with connected(server, LIST) as client:
            status, headers, body = read_response(client)
        assert (status, body["error"]["code"]) == (429, "too_many_connections")
        assert body["error"]["type"] == "rate_limit_error"
        assert headers["retry-after"] == "5"
        assert headers["connection"] == "close"
        with open_socket(server.port, LIST, "127.0.0.2") as other:
            assert read_all(other).startswith(b"HTTP/1.1 200")

        # In a flood, the server responds to only a few connections and keeps none of them open.
        for _ in range(300):
            stack.enter_context(connected(server))
        process = psutil.Process(server.process.pid)
        wait_for(lambda: len(process.net_connections()) <= 5 + 1)  # plus the listening socket

        process.suspend()
        for _ in range(20):  # closed before the server rejects them
            with connected(server):
                pass
        process.resume()

        held[0].close()

        def is_served() -> bool:
            with connected(server, LIST) as client:
                return read_all(client).startswith(b"HTTP/1.1 200")

        wait_for(is_served)
        assert [line for line in server.log_lines() if line["level"] == "error"] == []


class _WithFewFiles(Server):
    program = ("sh", "-c", f"ulimit -Sn 64; exec {sys.executable} -m app.main")


def test_a_low_soft_limit_on_open_files_does_not_lock_clients_out(
    tmp_path: Path, sqlite_url: str
) -> None:
    server = _WithFewFiles(tmp_path, sqlite_url, header_seconds=FAR)
    try:
        server.start()
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(connected(server))

            with connected(server, LIST) as client:
                assert read_all(client).startswith(b"HTTP/1.1 200")
    finally:
        server.close()


def test_connections_queue_while_the_server_is_busy(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/stepline.db"
    with contextlib.closing(Database(url)) as database:
        migrate(database)
    with running(tmp_path, url) as server, contextlib.ExitStack() as clients:
        server.process.send_signal(signal.SIGSTOP)
        try:
            waiting = [clients.enter_context(connected(server, LIST)) for _ in range(300)]
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert {read_response(client)[0] for client in waiting} == {200}
