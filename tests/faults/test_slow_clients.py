"""Clients that send one byte at a time and never read do not delay other clients."""

import contextlib
import socket
from pathlib import Path

from app.db.engine import Database
from app.migrate import migrate
from tests.programs.server_process import running

SLOW = 200


def test_two_hundred_clients_that_never_finish_their_request_do_not_delay_others(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/stepline.db"
    database = Database(url)
    migrate(database)
    database.close()
    patience = {"header_seconds": 600, "progress_seconds": 600}  # no client is cut off
    with running(tmp_path, url, **patience) as server, contextlib.ExitStack() as sockets:
        slow = []
        for number in range(SLOW):
            connection = sockets.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n")
            if number % 2:  # half of them stop in the middle of the body
                connection.sendall(
                    b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
                )
            slow.append(connection)

        for _ in range(20):
            for number, connection in enumerate(slow):
                connection.sendall(b"X" if number % 2 else b"X-Slow: 1\r\n")
            assert server.client.get("/healthz").status_code == 200
            assert server.post().status_code == 201
