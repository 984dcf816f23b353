"""The server as users run it: in its own process, with real sockets and a real broker."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.programs.postgres import Postgres
from tests.programs.server_process import TOKEN, StartedServer, kept_running, running

FORBIDDEN = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "datasets",
    "pyarrow",
    "pandas",
    "numpy",
    "worker",
    "cli",
)

LATER = ("celery", "kombu", "alembic", "mako", "psycopg", "wcwidth")
"""Modules that are loaded only for the first ring, for migrations, on PostgreSQL, or for a text report."""


def test_the_server_imports_no_training_packages(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom app.main import create_app\nfrom app.config.settings import Settings\n"
        f"create_app(Settings(database_url='sqlite:///{tmp_path}/x.db', worker_token='t')).openapi()\n"
        "print(*sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )

    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert "fastapi" in loaded
    assert loaded.isdisjoint(FORBIDDEN)


def test_modules_that_are_not_needed_at_startup_are_not_loaded(
    tmp_path: Path, sqlite_url: str
) -> None:
    program = (
        "import gc, sys\nfrom app.main import create_app, missing_migrations\n"
        "from app.config.settings import Settings\n"
        f"app = create_app(Settings(database_url='{sqlite_url}', worker_token='t', data_dir='{tmp_path}'))\n"
        "assert missing_migrations(app.state.database) is None\n"
        "assert gc.isenabled() and gc.get_freeze_count()\n"
        "print(*sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert "fastapi" in loaded
    assert loaded.isdisjoint(LATER)


def test_the_server_starts_with_little_cpu_time_and_stops_promptly(
    tmp_path: Path, sqlite_url: str
) -> None:
    with kept_running(StartedServer(tmp_path, sqlite_url)) as server:
        spent = psutil.Process(server.process.pid).cpu_times()
        job = server.post().json()["id"]
        polls = ThreadPoolExecutor(4)
        waiting = [polls.submit(server.client.get, f"/v1/jobs/{job}?wait=60") for _ in range(4)]
        # One listening socket and four long polls.
        while len(psutil.Process(server.process.pid).net_connections()) < 5:
            time.sleep(0.01)

        seconds = server.stop()

        assert spent.user + spent.system < 4, "seconds of CPU time, on any machine"
        assert seconds < 3
        for poll in waiting:
            with contextlib.suppress(httpx2.TransportError):
                assert poll.result().status_code == 200
        polls.shutdown()
        assert "Traceback" not in server.log.read_text()


def test_every_log_line_is_one_json_object_with_the_request_id(
    tmp_path: Path, sqlite_url: str
) -> None:
    with kept_running(StartedServer(tmp_path, sqlite_url)) as server:
        response = server.client.get("/v1/jobs", headers={"X-Request-Id": "mine"})
        job = server.post().json()["id"]
        server.client.get(f"/v1/jobs/{job}")
        server.stop()

    lines = server.log_lines()
    assert len(lines) == len(server.log.read_text().splitlines())
    request = next(line for line in lines if line.get("path") == "/v1/jobs")
    assert (request["request_id"], request["status"]) == ("mine", 200)
    assert response.headers["x-request-id"] == "mine"
    assert any(line.get("job_id") == job for line in lines)
    assert TOKEN not in server.log.read_text()


def test_a_submitted_job_is_visible_to_the_next_request(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as server:

        def write_and_read(_: int) -> int:
            job = server.post().json()["id"]
            return server.client.get(f"/v1/jobs/{job}").status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(write_and_read, range(80))) == {200}


def test_acknowledged_jobs_survive_when_the_server_is_killed(
    tmp_path: Path, sqlite_url: str
) -> None:
    server = StartedServer(tmp_path, sqlite_url)
    server.start()
    acknowledged: list[str] = []

    def post_until_killed() -> None:
        with contextlib.suppress(httpx2.TransportError):
            while True:
                acknowledged.append(server.post().json()["id"])

    threads = [threading.Thread(target=post_until_killed) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 40:
        time.sleep(0.01)
    server.process.kill()
    server.process.wait()
    for thread in threads:
        thread.join()

    server.start()
    try:
        for job in acknowledged:
            assert server.client.get(f"/v1/jobs/{job}").status_code == 200
    finally:
        server.close()


def test_a_large_body_without_a_content_length_is_rejected(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, max_upload_bytes=1_000_000) as server:

        def endless() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 65_536

        response = server.client.post(
            "/v1/jobs", content=endless(), headers={"Content-Type": "application/json"}
        )

        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"


def test_invalid_settings_prevent_startup_with_a_clear_message(
    tmp_path: Path, sqlite_url: str
) -> None:
    for name, value, setting in (
        ("LEASE_SECONDS", "5", "STEPLINE_SYNC_SECONDS"),
        ("PORT", "x", "STEPLINE_PORT"),
    ):
        result = subprocess.run(
            [sys.executable, "-m", "app.main"],
            env=os.environ | {"STEPLINE_DATABASE_URL": sqlite_url, f"STEPLINE_{name}": value},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 2
        assert setting in result.stderr
        assert "Traceback" not in result.stderr


def test_a_second_server_cannot_use_the_same_sqlite_file(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url):
        result = subprocess.run(
            [sys.executable, "-m", "app.main"],
            env=os.environ | {"STEPLINE_DATABASE_URL": sqlite_url, "STEPLINE_PORT": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert result.returncode == 2
    assert "another server is already using this SQLite database" in result.stderr


def test_the_server_handles_more_simultaneous_requests_than_it_has_database_connections(
    tmp_path: Path, database_url: str
) -> None:
    with running(tmp_path, database_url) as server, contextlib.ExitStack() as stack:
        job = server.post().json()["id"]
        paths = [f"/v1/jobs/{job}{end}" for end in ("", "/events", "/attempts", "/checkpoints")]
        address = ("127.0.0.1", server.port)
        sockets = [stack.enter_context(socket.create_connection(address)) for _ in range(200)]
        for each, path in zip(sockets, itertools.cycle(paths), strict=False):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            each.sendall(request.encode())
        responses = [each.makefile("rb").read() for each in sockets]

    assert {response.partition(b"\r\n")[0] for response in responses} == {b"HTTP/1.1 200 OK"}


def test_no_request_fails_after_connections_to_postgresql_are_cut(
    tmp_path: Path, postgres: Postgres, migrated_template: str
) -> None:
    name = postgres.create_database(migrated_template)
    with running(tmp_path, postgres.url(name)) as server:
        job = server.post().json()["id"]
        postgres.cut_connections(name)

        assert server.client.get(f"/v1/jobs/{job}").status_code == 200
        assert server.post().status_code == 201
        server.stop()
    postgres.drop_database(name)
