"""Compares Stepline's loss history with an MLflow tracking server's: the same points over HTTP, on one machine, in one run.

    python -m benchmarks.history [--points 300000] [--read-points 100000] [--databases sqlite,postgresql]
        [--large 1000000] [--streams 1000] [--skip-peer]

Writing: training steps with six values each go to Stepline by HTTP sync with the token of a real claim, and to MLflow by
log-batch, one request after another and with full durability. On both sides, a point is one value of one series at one step.
Requests of equal size are compared: first 50 points per request, then 1,000 (MLflow's maximum). Then the benchmark kills Stepline's server with
SIGKILL and counts the acknowledged records that are missing.

Reading: each side returns a curve of 1,000 points for a plot of `--read-points` steps, Stepline through /metrics and
MLflow through get-history-bulk-interval. Then Stepline alone is measured with a job of `--large` steps, and with `--streams` open streams of one
server process during `--stream-seconds` of training, whose steps go through the worker's real recorder and reporter. The last
line is JSON; "ratios" holds the smallest measured ratios.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import func, select

from app.db.engine import Database
from app.db.tables import Record
from app.migrate import migrate
from benchmarks.filling.feed import feed, read_times
from benchmarks.filling.points import PLOT_POINTS, SERIES, timed, values_at, wait_for
from benchmarks.peers.mlflow import measure_peer
from contracts.attempt import Claim
from contracts.protocol.wire import CLAIM_PATH, SYNC_PATH
from tests.programs.ports import find_free_port
from tests.programs.postgres import Postgres, running_postgres

TOKEN = "token-of-a-benchmark"
SPIKE = 99.0


def main() -> None:
    """Measure both sides and print the figures and JSON."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left running
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = {kind: measure_ours(kind, folder, options) for kind in options.databases}
        peer = None if options.skip_peer else measure_peer(folder, options)
    ratios: dict[str, float] = {}
    if peer is not None:
        ratios = compare(list(ours.values()), peer)
    print(json.dumps({"stepline": ours, "mlflow": peer, "ratios": ratios}))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--points", type=int, default=60_000, help="points to write per request size"
    )
    parser.add_argument("--read-points", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--stream-seconds", type=float, default=30)
    parser.add_argument("--databases", default="sqlite,postgresql", type=lambda x: x.split(","))
    parser.add_argument("--skip-peer", action="store_true")
    return parser.parse_args()


def compare(ours: list[dict[str, Any]], peer: dict[str, Any]) -> dict[str, float]:
    """Return the smallest ratios across all databases and request sizes, and print each ratio."""
    writes, reads = [], []
    for side in ours:
        for size, figures in side["write"].items():
            ratio = figures["points_per_second"] / peer["write"][size]["points_per_second"]
            writes.append(ratio)
            print(
                f"{side['database']}: writing, {size} points per request: {ratio:.1f} times as fast as MLflow"
            )
        reads.append(peer["read"]["median_ms"] / side["read"]["median_ms"])
        print(f"{side['database']}: reading a plot: {reads[-1]:.1f} times as fast as MLflow")
    return {"write_vs_mlflow": round(min(writes), 2), "read_vs_mlflow": round(min(reads), 2)}


# Stepline


@contextlib.contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a migrated database of this kind."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder}/stepline.db"
        if kind == "postgresql":
            postgres: Postgres = stack.enter_context(running_postgres(fsync=True))
            url = postgres.url(postgres.create_database())
        database = Database(url)
        migrate(database)
        database.close()
        yield url


class Server:
    """One server process."""

    def __init__(self, folder: Path, url: str, **settings: object) -> None:
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx2.Client(base_url=self.url, timeout=120, trust_env=False)
        self._log = folder / "server.log"
        self._environment = os.environ | {
            "STEPLINE_DATABASE_URL": url,
            "STEPLINE_DATA_DIR": str(folder / "files"),
            "STEPLINE_WORKER_TOKEN": TOKEN,
            "STEPLINE_PORT": str(self.port),
            "STEPLINE_DOORBELL": "false",
            "STEPLINE_STREAMS": "0",  # no caps, because all streams come from one address
            "STEPLINE_STREAMS_PER_PEER": "0",
            "STEPLINE_CONNECTIONS_PER_PEER": "0",
            "STEPLINE_TAKEOVER_SECONDS": "86400",  # so that a measured job is not queued again
            **{f"STEPLINE_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def start(self) -> None:
        """Start the server and wait until it responds."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.main"], env=self._environment, stdout=log, stderr=log
            )
        wait_for(lambda: self.client.get("/healthz").status_code == 200, self._log)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def claim(self) -> Claim:
        """Submit a job and claim it."""
        spec = {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}
        self.client.post("/v1/jobs", json=spec).raise_for_status()
        worker = {"worker_id": "benchmark"}
        answer = self.client.post(
            CLAIM_PATH, json={"worker": worker}, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        return Claim.model_validate_json(answer.raise_for_status().content)

    def sync(self, claim: Claim, body: bytes) -> None:
        """Send one sync."""
        headers = {"Authorization": f"Bearer {claim.token}", "Content-Type": "application/json"}
        path = SYNC_PATH.format(attempt_id=claim.attempt_id)
        self.client.post(path, content=body, headers=headers).raise_for_status()


def measure_ours(kind: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure Stepline on one kind of database."""
    folder = folder / kind
    folder.mkdir()
    with database_url(kind, folder) as url:
        server = Server(folder, url)
        server.start()
        try:
            found: dict[str, Any] = {"database": kind, "write": {}}
            for size in (50, 1000):
                found["write"][str(size)] = write_ours(server, options.points, size)
            found["lost_after_kill"] = count_lost(server, url)
            print(f"{kind}: {found['lost_after_kill']} acknowledged records lost after kill -9")
            job = fill_ours(server, options.read_points)
            found["read"] = read_ours(server, job, f"{options.read_points} steps")
            found["large"] = measure_large(server, options.large)
            found["streams"] = asyncio.run(measure_streams(server, folder, options))
            return found
        finally:
            server.kill()
            server.client.close()


def steps_body(first: int, count: int) -> bytes:
    """Return the body of a sync with `count` training steps."""
    records = [
        {
            "type": "metric",
            "seq": step,
            "step": step,
            "at": f"2026-01-01T00:00:00.{step % 10**6:06d}Z",
        }
        | {"values": values_at(step)}
        for step in range(first, first + count)
    ]
    return json.dumps({"records": records}).encode()


def write_ours(server: Server, points: int, size: int) -> dict[str, float]:
    """Write points in requests of about `size` points; return the rates."""
    claim = server.claim()
    steps = max(1, size // len(SERIES))
    bodies = [steps_body(first, steps) for first in range(1, points // len(SERIES), steps)]
    began = time.perf_counter()
    for body in bodies:
        server.sync(claim, body)
    seconds = time.perf_counter() - began
    written = len(bodies) * steps
    figures = {
        "points_per_second": round(written * len(SERIES) / seconds),
        "records_per_second": round(written / seconds),
        "requests_per_second": round(len(bodies) / seconds, 1),
    }
    print(f"stepline: {steps * len(SERIES)} points per request: {figures}")
    return figures


def count_lost(server: Server, url: str) -> int:
    """Write records, kill the server, and return the number of acknowledged records that are missing."""
    claim = server.claim()
    acked = 0
    for first in range(1, 3000, 30):
        server.sync(claim, steps_body(first, 30))
        acked = first + 29
    server.kill()
    database = Database(url)
    with database.reading() as session:
        query = select(func.count()).where(Record.attempt_id == claim.attempt_id)
        stored = session.scalar(query) or 0
    database.close()
    server.start()
    page = server.client.get(f"/v1/jobs/{claim.job_id}/loss").raise_for_status().json()
    assert len(page["data"]) == stored
    return acked - stored


def fill_ours(server: Server, steps: int, spike: int | None = None) -> Claim:
    """Create a job with `steps` steps, with a spike in the loss at step `spike` if given; return its claim."""
    claim = server.claim()
    for first in range(1, steps + 1, 1000):
        body = steps_body(first, min(1000, steps + 1 - first))
        if spike is not None and first <= spike < first + 1000:
            request = json.loads(body)
            request["records"][spike - first]["values"]["loss"] = SPIKE
            body = json.dumps(request).encode()
        server.sync(claim, body)
    return claim


def read_ours(server: Server, job: Claim, label: str, query: str = "") -> dict[str, float]:
    """Read a curve for a plot repeatedly; return the times and the size of the response."""
    path = f"/v1/jobs/{job.job_id}/metrics?names=loss&max_points={PLOT_POINTS}{query}"
    figures, size = timed(lambda: server.client.get(path).raise_for_status().content, 60)
    print(f"stepline: a plot of {label}: {figures}, {size} bytes")
    return figures | {"bytes": size}


def measure_large(server: Server, steps: int) -> dict[str, Any]:
    """Measure a very long job: its plot, a zoomed plot, its polls, and whether the plot shows its spike."""
    began = time.perf_counter()
    claim = fill_ours(server, steps, spike=steps * 2 // 3)
    seconds = time.perf_counter() - began
    plot = read_ours(server, claim, f"{steps} steps")
    zoom = read_ours(
        server,
        claim,
        f"1 % of {steps} steps",
        f"&from_step={steps // 2}&to_step={steps // 2 + steps // 100}",
    )
    path = f"/v1/jobs/{claim.job_id}/metrics?names=loss"
    answer = server.client.get(path).json()
    since, _ = timed(
        lambda: server.client.get(f"{path}&since={answer['cursor']}").raise_for_status().content,
        200,
    )
    is_visible = SPIKE in answer["series"]["loss"]["value"]
    print(f"stepline: polls: {since}; the spike is {'visible' if is_visible else 'LOST'}")
    return {
        "steps": steps,
        "records_per_second": round(steps / seconds),
        "plot": plot,
        "zoom": zoom,
        "since": since,
        "spike_seen": is_visible,
    }


async def measure_streams(
    server: Server, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Open many streams of a job that runs two steps per second; measure which steps each client gets, and when.

    The clock starts when the training process records a step, and stops when a client has read it.
    """
    claim = server.claim()
    received: list[dict[int, float]] = [{} for _ in range(options.streams)]
    ready = asyncio.Semaphore(0)
    last = int(options.stream_seconds * 2)

    async def listen(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**20)
        request = f"GET /v1/jobs/{claim.job_id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        writer.write(request.encode())
        await reader.readuntil(b"event: status")
        ready.release()
        with contextlib.suppress(asyncio.IncompleteReadError):
            while len(received[number]) < last:
                line = await reader.readline()
                if line.startswith(b'data: {"attempt"'):
                    now = time.time()
                    for step in json.loads(line[6:])["series"]["loss"]["step"]:
                        received[number].setdefault(step, now)
        writer.close()

    listeners = [asyncio.create_task(listen(number)) for number in range(options.streams)]
    for _ in range(options.streams):
        async with asyncio.timeout(120):
            await ready.acquire()
    process = psutil.Process(server.process.pid)
    memory, cpu = process.memory_info().rss, process.cpu_times()
    began = time.perf_counter()
    run = folder / "run"
    run.mkdir()
    steps = [values_at(step) for step in range(1, last + 1)]
    feeder = multiprocessing.get_context("spawn").Process(
        target=feed, args=(server.url, claim, run, steps, 0.5)
    )
    feeder.start()
    await asyncio.to_thread(feeder.join)
    assert feeder.exitcode == 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.gather(*listeners)
    for listener in listeners:
        listener.cancel()
    after = process.cpu_times()
    used = after.user + after.system - cpu.user - cpu.system
    recorded_at = read_times(run)
    delays = [at - recorded_at[step] for each in received for step, at in each.items()]
    found = {
        "streams": options.streams,
        "steps": last,
        "missed": sum(last - len(each) for each in received),
        "p50_step_to_client_seconds": round(statistics.median(delays), 3),
        "p99_step_to_client_seconds": round(sorted(delays)[int(len(delays) * 0.99)], 3),
        "rss_mb_when_open": round(memory / 2**20),
        "rss_mb_at_end": round(process.memory_info().rss / 2**20),
        "cpu_share": round(used / (time.perf_counter() - began), 2),
    }
    print(f"stepline: streams: {found}")
    return found


if __name__ == "__main__":
    main()
