"""Streams over real sockets: served by a separate process on both databases, or by this process if a test lowers a limit."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.db.engine import Database
from app.stream.frames import find_end
from app.stream.streams import Streams
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.job import Phase
from contracts.record import MetricRecord, PhaseRecord
from tests.app.player import Player
from tests.app.stream.sse import Reader, series_after
from tests.factories import make_metric
from tests.programs.server_process import Server, running, serving
from tests.programs.waiting import wait_for


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[Server]:
    with running(tmp_path, database_url, retry_seconds=0, streams_per_peer=0) as server:
        yield server


@pytest.fixture
def player(server: Server) -> Player:
    # The server's client has every method that Player calls.
    return Player(cast("TestClient", server.client))


@pytest.fixture
def app_player(client: TestClient) -> Player:
    return Player(client)


async def read_until(stream: AsyncIterator[bytes], text: bytes) -> None:
    """Read a stream until a chunk contains the text."""
    async with asyncio.timeout(30):
        async for chunk in stream:
            if text in chunk:
                return
    raise AssertionError("the stream ended")


def stream(server: Server, job: str, query: str = "", last_id: str | None = None) -> Reader:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    return Reader(f"{server.client.base_url}/v1/jobs/{job}/stream{query}", headers)


def train(player: Player, claim: Claim, first: int, last: int, loss: float = 1.0) -> None:
    """Record steps, numbered as if the attempt had begun with step 1."""
    player.sync(claim, *[make_metric(step, loss=loss) for step in range(first, last + 1)])


def wide_metric(step: int) -> MetricRecord:
    figures = {f"figure_{n}": float(n) for n in range(30)} | {"loss": 1.0}
    return MetricRecord(seq=step, at=utc_now(), step=step, values=figures)


def test_a_stream_delivers_everything_until_the_job_ends(server: Server, player: Player) -> None:
    job = player.submit()
    with stream(server, job) as listener:
        listener.wait(lambda it: it.named("status"))
        claim = player.claim()
        phase = PhaseRecord(seq=1, at=utc_now(), phase=Phase.TRAINING, total_steps=8)
        player.sync(claim, phase, make_metric(2, 1, loss=2.0))
        listener.wait(lambda it: it.losses())
        player.sync(
            claim,
            *[make_metric(n + 1, n) for n in range(2, 9)],
            samples=[{"seq": 1, "at": utc_now(), "values": {"sys.cpu_percent": 12.5}}],
        )
        player.succeed(claim, last_seq=9)
        listener.wait(lambda it: it.has_ended)

    statuses = listener.named("status")
    assert statuses[0]["status"] == "queued"
    assert statuses[-1]["status"] == "succeeded"
    assert "spec" not in statuses[0]
    assert list(listener.losses()) == list(range(1, 9))
    assert series_after(listener.events)["sys.cpu_percent"] == {8: 12.5}
    assert "training" in [each["phase"] for each in listener.named("phase")]
    events = player.get(f"/v1/jobs/{job}/events")["data"]
    assert [event["id"] for event in listener.named("event")] == [event["id"] for event in events]
    assert listener.events[-1].event == "done"
    assert listener.events[-1].data == {"status": "succeeded"}

    with stream(server, job, last_id=listener.last_id) as again:
        again.wait(lambda it: it.has_ended)
    assert (again.status, again.events) == (204, [])
    with stream(server, job) as whole:
        whole.wait(lambda it: it.has_ended)
    assert whole.losses() == listener.losses()
    assert whole.events[-1].event == "done"


def test_missed_events_are_replayed_without_gaps_or_duplicates(
    server: Server, player: Player
) -> None:
    job = player.submit()
    claim = player.claim()
    counts: dict[int, int] = {}
    finished = threading.Event()

    def record_all() -> None:
        for step in range(1, 201):
            train(player, claim, step, step)
        finished.set()

    recording = threading.Thread(target=record_all)
    recording.start()
    last_id, events = None, []
    while True:
        was_finished = finished.is_set()
        with stream(server, job, last_id=last_id) as listener:
            listener.wait(lambda it: it.named("metrics") or finished.is_set())
            if was_finished:
                listener.wait(lambda it: len(counts) + len(it.losses()) >= 200)
        for metrics in listener.named("metrics"):
            for step in metrics["series"].get("loss", {"step": []})["step"]:
                counts[step] = counts.get(step, 0) + 1
        events += [event["id"] for event in listener.named("event")]
        last_id = listener.last_id or last_id
        if was_finished:
            break
    recording.join()

    assert counts == dict.fromkeys(range(1, 201), 1)
    assert len(events) == len(set(events))


def test_every_listener_receives_a_rewind(server: Server, player: Player) -> None:
    job = player.submit()
    first = player.claim()
    train(player, first, 1, 10)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(stream(server, job)) for _ in range(3)]
        for listener in listeners:
            listener.wait(lambda it: len(it.losses()) == 10)
        cursor = player.get(f"/v1/jobs/{job}/metrics")["cursor"]
        player.finish(first, "interrupted", last_seq=10)
        second = player.claim()
        player.sync(second, *[make_metric(n, 5 + n, loss=2.0) for n in range(1, 4)])
        late = stack.enter_context(stream(server, job, last_id=listeners[0].last_id))
        polled = stack.enter_context(stream(server, job, f"?since={cursor}"))
        fresh = stack.enter_context(stream(server, job))
        expected = dict.fromkeys(range(1, 6), 1.0) | dict.fromkeys(range(6, 9), 2.0)
        for listener in [*listeners, fresh]:
            listener.wait(lambda it: it.losses() == expected)
        for listener in (late, polled):
            listener.wait(lambda it: it.losses() == dict.fromkeys(range(6, 9), 2.0))

        rewind = {"attempt": 2, "rewind_to_step": 5}
        assert [listener.named("rewind") for listener in listeners] == [[rewind]] * 3
        assert [late.named("rewind"), polled.named("rewind")] == [[rewind]] * 2


def test_a_stream_since_now_delivers_only_new_points(server: Server, player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    train(player, claim, 1, 5)
    with stream(server, job, "?since=now") as listener:
        listener.wait(lambda it: it.named("status"))
        train(player, claim, 6, 7)
        listener.wait(lambda it: it.losses())

        assert list(listener.losses()) == [6, 7]


def test_a_listener_misses_nothing_when_the_server_restarts(server: Server, player: Player) -> None:
    job = player.submit()
    claim = player.claim()
    train(player, claim, 1, 5)
    with stream(server, job) as listener:
        listener.wait(lambda it: len(it.losses()) == 5)
        server.process.kill()
        server.process.wait()
    server.start()
    train(player, claim, 6, 8)
    with stream(server, job, last_id=listener.last_id) as again:
        again.wait(lambda it: it.losses())
        assert list(again.losses()) == [6, 7, 8]


def test_the_server_stops_promptly_while_streams_are_open(server: Server, player: Player) -> None:
    job = player.submit()
    train(player, player.claim(), 1, 5)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(stream(server, job)) for _ in range(20)]
        for listener in listeners:
            listener.wait(lambda it: it.losses())

        seconds = server.stop()

        for listener in listeners:
            listener.wait(lambda it: it.has_ended)
    assert seconds < 2, "the server must not wait for clients to disconnect"
    assert "Traceback" not in server.log.read_text()


def test_the_server_handles_more_simultaneous_listeners_than_it_has_database_connections(
    server: Server, player: Player
) -> None:
    job = player.submit()
    request = f"GET /v1/jobs/{job}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        sockets = [stack.enter_context(socket.create_connection(address)) for _ in range(300)]
        for each in sockets:
            each.sendall(request)
        for each in sockets:
            each.settimeout(30)
            received = b""
            while b"event: status" not in received:
                received += (new := each.recv(65_536))
                assert new, received

        assert player.job(job)["status"] == "queued"


def test_a_listener_that_falls_behind_is_dropped_with_a_reason_and_can_resume(
    database: Database, app_player: Player
) -> None:
    job = app_player.submit()
    claim = app_player.claim()
    with database.reading() as session:
        end, _ = find_end(session, job)

    async def listen() -> bytes:
        streams = Streams(database, most_waiting=2)
        slow, quick = (streams.listen(job, end, end, "en") for _ in range(2))
        await read_until(slow, b"event: status")
        await read_until(quick, b"event: status")
        for step in range(1, 4):
            await asyncio.to_thread(train, app_player, claim, step, step)
            await read_until(quick, f'"loss":{{"step":[{step}]'.encode())

        rest = b"".join([chunk async for chunk in slow])

        again = streams.listen(job, end, end, "en")
        await read_until(again, b'"loss":{"step":[1,2,3]')
        assert streams.listeners == 2
        await streams.close()
        await quick.aclose()
        await again.aclose()
        return rest

    rest = asyncio.run(listen())

    assert rest.startswith(b"event: dropped\n")
    assert b'"reason":"too_slow"' in rest
    assert rest.count(b"event:") == 1


def test_a_listener_that_reads_nothing_for_too_long_is_disconnected(
    app: FastAPI, database: Database, app_player: Player, capsys: pytest.CaptureFixture[str]
) -> None:
    job = app_player.submit()
    claim = app_player.claim()
    for start in (0, 1000):  # two polls: the frames of the first fill the buffers
        app_player.sync(claim, *[wide_metric(start + n) for n in range(1, 1001)])
    app.state.streams = streams = Streams(database, send_seconds=0.2)
    with serving(app) as port, socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        idle.settimeout(30)
        idle.connect(("127.0.0.1", port))
        idle.sendall(f"GET /v1/jobs/{job}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while b"event: status" not in received:
            received += idle.recv(1000)
        assert streams.listeners == 1
        wait_for(lambda: streams.listeners == 0)

        while new := idle.recv(1_000_000):
            received += new
    assert not received.endswith(b"0\r\n\r\n"), "a stream must not seem to have ended properly"
    log = capsys.readouterr().out
    assert "client went away" in log
    assert "Traceback" not in log


def test_a_listener_that_reads_nothing_does_not_delay_others(
    server: Server, player: Player
) -> None:
    job = player.submit()
    claim = player.claim()
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address) as idle, stream(server, job) as listener:
        idle.sendall(f"GET /v1/jobs/{job}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for start in range(0, 6000, 500):
            player.sync(claim, *[wide_metric(start + n) for n in range(1, 501)])
            listener.wait(lambda it, least=start: len(it.losses()) > least)  # type: ignore[misc]

        assert len(listener.losses()) == 6000
