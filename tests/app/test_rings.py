"""How a real server process rings the doorbell, and what it does while the broker hangs or is down."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from app.config.settings import Settings
from app.db.engine import Database
from app.db.tables import Bell
from app.doorbell import MOST_RINGS, Doorbell
from cli import broker
from contracts.protocol.wire import TASK_NAME, celery_queue
from tests.programs.server_process import running
from tests.programs.waiting import wait_for

READY = {"ready": True, "database": "ok", "storage": "ok", "broker": "ok"}


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Path]:
    """Start a real broker and yield the path of its socket."""
    directory = tmp_path / "valkey"
    directory.mkdir()
    unix_socket = broker.choose_socket(directory)
    configuration = broker.write_configuration(directory, unix_socket)
    with subprocess.Popen(
        [broker.valkey_server(), configuration], stdout=subprocess.DEVNULL
    ) as server:
        wait_for(lambda: broker.answers(unix_socket))
        yield unix_socket
        server.terminate()
    broker.forget_socket(directory, unix_socket)


def wait_for_rings(unix_socket: Path, queue: str, count: int) -> list[Any]:
    with Redis(unix_socket_path=str(unix_socket)) as redis:
        wait_for(lambda: redis.llen(celery_queue(queue)) >= count, lambda: "no ring arrived")
        return [json.loads(ring) for ring in redis.lrange(celery_queue(queue), 0, -1)]


def test_submissions_are_fast_while_the_broker_hangs(tmp_path: Path, sqlite_url: str) -> None:
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()  # accepts connections, never responds
        url = f"redis://127.0.0.1:{hanging.getsockname()[1]}/0"
        with running(tmp_path, sqlite_url, doorbell="true", broker_url=url) as server:
            began = time.monotonic()
            codes = [server.post(queue=f"q{n}").status_code for n in range(10)]
            seconds = time.monotonic() - began

            assert codes == [201] * 10
            assert seconds < 5, "one hanging ring alone takes longer"
            assert server.stop() < 5


def test_a_submission_rings_immediately_and_the_ring_expires(
    tmp_path: Path, sqlite_url: str, valkey: Path
) -> None:
    settings = {"doorbell": "true", "broker_url": f"redis+socket://{valkey}"}
    with running(tmp_path, sqlite_url, **settings) as server:
        server.post(queue="q1")
        ring = wait_for_rings(valkey, "q1", 1)[0]

        assert ring["headers"]["task"] == TASK_NAME
        assert ring["headers"]["ignore_result"] is True
        assert ring["headers"]["expires"] is None, "a worker whose clock is ahead would drop it"
        with Redis(unix_socket_path=str(valkey)) as redis:
            # The expiry is set right after the ring.
            wait_for(lambda: redis.pttl(celery_queue("q1")) > 0)
            assert redis.pttl(celery_queue("q1")) <= 30_000
        wait_for(lambda: server.client.get("/readyz").json() == READY)


def test_a_burst_of_rings_sends_one_message_per_ring(valkey: Path) -> None:
    doorbell = Doorbell(Settings(broker_url=f"redis+socket://{valkey}"))
    for _ in range(3):
        doorbell.ring("q1")
    doorbell.ring("q1", 2)
    doorbell.start()
    with Redis(unix_socket_path=str(valkey)) as redis:
        wait_for(lambda: redis.llen(celery_queue("q1")) >= 5)
    doorbell.stop()


def test_unconsumed_rings_do_not_pile_up(valkey: Path) -> None:
    settings = Settings(broker_url=f"redis+socket://{valkey}")
    doorbell = Doorbell(settings)
    doorbell.start()
    with Redis(unix_socket_path=str(valkey)) as redis:
        redis.rpush(celery_queue("q1"), *[b"{}"] * MOST_RINGS)
        doorbell.ring("q1")
        wait_for(lambda: redis.pttl(celery_queue("q1")) >= 0)

        assert redis.llen(celery_queue("q1")) == MOST_RINGS
    doorbell.stop()


def test_a_disabled_doorbell_never_rings(tmp_path: Path, sqlite_url: str, valkey: Path) -> None:
    settings = {
        "doorbell": "false",
        "broker_url": f"redis+socket://{valkey}",
        "sweep_seconds": 0.05,
        "ring_seconds": 0.05,
    }
    with running(tmp_path, sqlite_url, **settings) as server:
        server.post(queue="q1")
        database = Database(sqlite_url)
        rung_at: set[datetime] = set()
        while len(rung_at) < 3:  # until the sweep has claimed the right to ring three times
            with database.reading() as session:
                rung_at.update(session.scalars(select(Bell.rung_at)))
        database.close()

        with Redis(unix_socket_path=str(valkey)) as redis:
            assert redis.llen(celery_queue("q1")) == 0


def test_the_server_rings_later_for_jobs_submitted_while_the_broker_was_down(
    tmp_path: Path, sqlite_url: str
) -> None:
    directory = tmp_path / "later"
    directory.mkdir()
    unix_socket = broker.choose_socket(directory)
    settings = {
        "doorbell": "true",
        "broker_url": f"redis+socket://{unix_socket}",
        "sweep_seconds": 0.1,
        "ring_seconds": 0.5,
    }
    with running(tmp_path, sqlite_url, **settings) as server:
        assert server.post(queue="q1").status_code == 201
        wait_for(lambda: any(line["event"] == "doorbell" for line in server.log_lines()))
        assert "unreachable" in server.client.get("/readyz").json()["broker"]

        configuration = broker.write_configuration(directory, unix_socket)
        with subprocess.Popen(
            [broker.valkey_server(), configuration], stdout=subprocess.DEVNULL
        ) as valkey:
            try:
                wait_for_rings(unix_socket, "q1", 1)
            finally:
                valkey.terminate()
    broker.forget_socket(directory, unix_socket)
