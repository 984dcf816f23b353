"""Measures a server under storms of clients: the resources it holds afterwards, and its response times for another client.

    python -m benchmarks.storm [--rounds 10] [--streams 2000] [--slow 700] [--hold-seconds 5] [--database sqlite]
        [--addresses 1] [--capped]

In each round, `--streams` clients open the stream of one job, and `--slow` clients send nothing, half a request's head, or half
a body. At the same time, another client requests `/v1/jobs` ten times a second. Then the benchmark aborts the connections and,
once the server has closed its side, measures the server's memory, open files, SQLite handles and threads. The caps are
lifted to make the server accept all connections, unless `--capped` leaves them at their defaults. The last line is
JSON; its ratios compare the last round with the second, because the first one fills caches and pools.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx2
import psutil  # type: ignore[import-untyped]  # it ships no types

from app.config.settings import Settings
from benchmarks.history.server import Server, database_url
from benchmarks.history.steps import fill_ours

STEPS = 2000
"""Steps of the job whose stream the clients open."""
REQUEST_SECONDS = 0.1
OPENING_SECONDS = 120
CLOSING_SECONDS = 60
SETTLING_SECONDS = 12
"""Time within which a sweep returns freed memory to the system."""
SLOW = (
    b"",
    b"GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ",
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
)
"""The bytes that the slow clients send; the entries are used in turn."""
CAPS = ("connections_per_peer", "streams", "streams_per_peer")


def main() -> None:
    """Run the rounds; print one line for each, then JSON."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left running
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory() as name,
        database_url(options.database, Path(name)) as url,
    ):
        defaults = {cap: Settings.model_fields[cap].default for cap in CAPS}
        server = Server(Path(name), url, **(defaults if options.capped else {}))
        server.start()
        try:
            job = fill_ours(server, STEPS).job_id
            server.client.get("/v1/jobs").raise_for_status()
            rounds = [{"round": 0} | count(server)]
            print(rounds[0])
            for number in range(1, options.rounds + 1):
                with requesting(server.url) as waits:
                    found = asyncio.run(storm(server, job, options))
                rounds.append({"round": number} | found | times(waits) | count(server))
                print(rounds[-1])
        finally:
            server.kill()
            server.client.close()
    print(json.dumps({"rounds": rounds, "ratios": compare(rounds)}))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=700)
    parser.add_argument("--hold-seconds", type=float, default=5)
    parser.add_argument("--database", default="sqlite", choices=["sqlite", "postgresql"])
    parser.add_argument(
        "--addresses",
        type=int,
        default=1,
        help="number of client addresses in 127.0.0.0/8, used in turn",
    )
    parser.add_argument("--capped", action="store_true")
    return parser.parse_args()


def count(server: Server) -> dict[str, Any]:
    """Return the resources that the server process holds."""
    process = psutil.Process(server.process.pid)
    files = [Path(each.path).name for each in process.open_files()]
    return {
        "rss_mb": round(process.memory_info().rss / 2**20, 1),
        "files": process.num_fds(),
        "sqlite_handles": sum(name.startswith("stepline.db") for name in files),
        "threads": process.num_threads(),
    }


def compare(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Return the ratio of the last round to the second, for each count."""
    first, last = rounds[min(2, len(rounds) - 1)], rounds[-1]
    names = ("rss_mb", "files", "sqlite_handles", "threads")
    return {name: round(last[name] / first[name], 2) for name in names if first[name]}


async def storm(server: Server, job: str, options: argparse.Namespace) -> dict[str, Any]:
    """Open all connections, hold them, and abort them; return the responses, the opening time and the peak memory."""
    before = psutil.Process(server.process.pid).num_fds()
    answers: Counter[str] = Counter()
    began = time.perf_counter()
    async with asyncio.timeout(OPENING_SECONDS), asyncio.TaskGroup() as group:
        opened = [
            group.create_task(listen(server, job, number % options.addresses, answers))
            for number in range(options.streams)
        ]
        slow = [
            group.create_task(connect(server, number % options.addresses))
            for number in range(options.slow)
        ]
    opening_seconds = time.perf_counter() - began
    writers = [task.result() for task in opened]
    for number, task in enumerate(slow):
        _, writer = task.result()
        writer.write(SLOW[number % len(SLOW)])
        writers.append(writer)
    await asyncio.sleep(options.hold_seconds)
    peak = psutil.Process(server.process.pid).memory_info().rss
    for writer in writers:
        writer.transport.abort()
    deadline = time.monotonic() + CLOSING_SECONDS
    while psutil.Process(server.process.pid).num_fds() > before + 50:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLING_SECONDS)
    return {
        "answers": dict(answers),
        "opening_seconds": round(opening_seconds, 1),
        "peak_mb": round(peak / 2**20, 1),
    }


def times(waits: Sequence[float]) -> dict[str, float]:
    """Return statistics of the other client's response times."""
    ordered = sorted(waits)
    return {
        "requests": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
        "max_ms": round(ordered[-1] * 1000, 1),
    }


@contextlib.contextmanager
def requesting(url: str) -> Iterator[list[float]]:
    """Request the list of jobs repeatedly in a separate process; on exit, the yielded list holds the response times."""
    context = multiprocessing.get_context("spawn")
    stop, (receiver, sender) = context.Event(), context.Pipe(duplex=False)
    process = context.Process(target=_request, args=(url, stop, sender))
    process.start()
    receiver.recv()  # the process is ready
    waits: list[float] = []
    try:
        yield waits
    finally:
        stop.set()
        waits += receiver.recv()
        process.join()


def _request(url: str, stop: Event, sender: Connection) -> None:
    waits = []
    with httpx2.Client(base_url=url, timeout=120, trust_env=False) as client:
        client.get("/v1/jobs").raise_for_status()
        sender.send(None)
        while not stop.wait(REQUEST_SECONDS):
            began = time.perf_counter()
            client.get("/v1/jobs").raise_for_status()
            waits.append(time.perf_counter() - began)
    sender.send(waits)


async def listen(
    server: Server, job: str, address: int, answers: Counter[str]
) -> asyncio.StreamWriter:
    """Open a stream, read until the job's status or an error arrives, and count the result."""
    reader, writer = await connect(server, address)
    writer.write(f"GET /v1/jobs/{job}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(b" ", 2)[1].decode()
        if status == "200":
            await reader.readuntil(b"event: status")
    except (asyncio.IncompleteReadError, ConnectionError):
        status = "closed"
    answers[status] += 1
    return writer


async def connect(
    server: Server, address: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from an address of the loopback network."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.open_connection(
            "127.0.0.1", server.port, limit=2**20, local_addr=(f"127.0.0.{address + 1}", 0)
        )
    return await asyncio.open_connection("127.0.0.1", server.port, limit=2**20)


if __name__ == "__main__":
    main()
