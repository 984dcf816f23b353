"""Load: how many durable jobs per second the server accepts over HTTP, and whether competing claimers ever get the same job.

    python -m benchmarks.load [--jobs 1000] [--databases sqlite,postgresql]
    python -m benchmarks.load --table [--sizes 1000,100000,1000000] [--rounds 20] [--databases sqlite,postgresql]

One API process, four clients. A job counts once its 201 response has arrived; by then, it has been committed with synchronous
writes (SQLite FULL, PostgreSQL's default with fsync on). The benchmark only prints figures. The last line is JSON with the
ratios to the targets, the number of cores, and the cost of one fsync on this machine.

With --table: the cost of each kind of request at each of --sizes, and the ratio of the largest size to the smallest
(benchmarks/load/table.py). A million jobs take about 8 GB of disk and several minutes per database.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.load import table
from contracts.protocol.wire import CLAIM_PATH
from tests.e2e.service import WORKER_TOKEN, Service
from tests.programs.postgres import running_postgres

CLIENTS = 4
TARGETS = {"sqlite": 150.0, "postgresql": 200.0}
"""Durable jobs per second."""
SPEC = {"model": "somebody/model", "dataset": {"train": {"hub": "somebody/rows"}}, "queue": "load"}
FSYNCS = 50


@dataclass(frozen=True)
class Figures:
    """The results for one database."""

    jobs: int
    enqueued_per_second: float
    claimed_per_second: float
    claimed: int
    duplicates: int


def main() -> None:
    """Measure each database and print the figures."""
    options = arguments()
    if options.table:
        table.measure(options)
        return
    fsync_seconds = measure_fsync()
    print(
        f"cores: {os.cpu_count()}  load: {os.getloadavg()[0]:.1f}  fsync: {1000 * fsync_seconds:.2f} ms"
    )
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "fsync_milliseconds": round(1000 * fsync_seconds, 3),
        "ratios": {},
    }
    for kind in options.databases.split(","):
        with ExitStack() as stack:
            figures = measure(stack, kind, options.jobs)
        target = TARGETS[kind]
        print(
            f"{kind:<11} enqueued {figures.enqueued_per_second:7.1f} jobs/s (target {target:.0f})   "
            f"claimed {figures.claimed_per_second:7.1f} jobs/s   "
            f"{figures.claimed} of {figures.jobs} jobs claimed, {figures.duplicates} twice"
        )
        result[kind] = vars(figures)
        result["ratios"][f"{kind}_enqueued_vs_target"] = figures.enqueued_per_second / target
    print(json.dumps(result))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--table", action="store_true", help="measure requests with many jobs")
    parser.add_argument(
        "--sizes", default="1000,100000,1000000", help="numbers of jobs, with --table"
    )
    parser.add_argument(
        "--rounds", type=int, default=20, help="requests of each kind, with --table"
    )
    return parser.parse_args()


def measure_fsync() -> float:
    """Return the median time in seconds to write a page and sync it."""
    seconds = []
    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir()) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def measure(stack: ExitStack, kind: str, jobs: int) -> Figures:
    """Start one API with a database of this kind, enqueue jobs, then claim all of them; return the rates."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepline-load-")))
    url = None
    if kind == "postgresql":
        postgres = stack.enter_context(running_postgres(fsync=True))
        url = postgres.url(postgres.create_database())
    service = Service(
        directory / "service",
        url,
        STEPLINE_DOORBELL="false",
        STEPLINE_TAKEOVER_SECONDS="86400",  # no worker renews its lease
    )
    stack.callback(service.__exit__)
    service.migrate()
    service.start_api()
    enqueue(service, 40)  # warm-up, because the first requests run with cold caches
    claim_all(service)
    began = time.perf_counter()
    stored = enqueue(service, jobs)
    enqueued = time.perf_counter() - began
    began = time.perf_counter()
    claimed = claim_all(service)
    claiming = time.perf_counter() - began
    assert set(claimed) <= set(stored)
    return Figures(
        jobs=len(stored),
        enqueued_per_second=len(stored) / enqueued,
        claimed_per_second=len(claimed) / claiming,
        claimed=len(set(claimed)),
        duplicates=len(claimed) - len(set(claimed)),
    )


def enqueue(service: Service, jobs: int) -> list[str]:
    """Submit from all clients concurrently; return the ids of acknowledged jobs."""
    left = iter(range(jobs))
    lock = threading.Lock()

    def submit(client: httpx2.Client, _: int) -> str | None:
        with lock:
            if next(left, None) is None:
                return None
        response = client.post("/v1/jobs", json=SPEC)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    return from_all_clients(service, submit)


def claim_all(service: Service) -> list[str]:
    """Claim from all clients concurrently until nothing is left; return the ids of claimed jobs."""

    def claim(client: httpx2.Client, number: int) -> str | None:
        response = client.post(
            CLAIM_PATH,
            json={"worker": {"worker_id": f"rival-{number}", "queue": "load"}},
            headers={"Authorization": f"Bearer {WORKER_TOKEN}"},
        )
        assert response.is_success, response.text
        return str(response.json()["job_id"]) if response.status_code == 200 else None

    return from_all_clients(service, claim)


def from_all_clients(
    service: Service, call: Callable[[httpx2.Client, int], str | None]
) -> list[str]:
    """Repeat a call in every client until it returns None; return all its results."""
    results: list[list[str]] = [[] for _ in range(CLIENTS)]

    def run(number: int) -> None:
        with httpx2.Client(base_url=service.url, timeout=30, trust_env=False) as client:
            while (result := call(client, number)) is not None:
                results[number].append(result)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for client in results for each in client]


if __name__ == "__main__":
    main()
