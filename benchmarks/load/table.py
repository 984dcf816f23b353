"""Measures each kind of request with 1,000, 100,000 and 1,000,000 jobs. Run it as `python -m benchmarks.load --table`.

Each size has its own server process, and all of them run at the same time. Each request is sent to the servers in turn,
so other load on the machine slows all sizes equally. The rows are written directly into the database; the requests go
over HTTP.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic import command

from app.db.engine import Database, database_now
from app.jobs.listing.cursors import encode_place
from app.jobs.listing.walks import QUEUED_SECTION, Place
from app.jobs.queue import order as queue
from app.jobs.schemas import JobSort
from app.migrate import alembic_config, migrate
from benchmarks.filling import rows
from contracts.protocol.wire import CLAIM_PATH, HELLO_PATH
from tests.e2e.service import WORKER_TOKEN, Service
from tests.programs.postgres import Postgres, running_postgres

WARM_UP = 6
"""Number of warm-up requests of each kind; after them, every statement is prepared and cached."""
ONE_JOB = {"model": "team/model-0", "dataset": {"train": {"hub": "team/rows"}}, "name": "one"}
Request = tuple[str, str, dict[str, Any]]
"""Method, path, and further arguments for httpx2."""


def measure(options: argparse.Namespace) -> None:
    """Measure each database and print its table; the last line is JSON."""
    sizes = [int(size) for size in options.sizes.split(",")]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    result: dict[str, Any] = {"machine": machine, "load": os.getloadavg()[0], "sizes": sizes}
    print(f"{machine}, load {result['load']:.1f}")
    for kind in options.databases.split(","):
        with ExitStack() as stack:
            result[kind] = measure_database(stack, kind, sizes, options.rounds)
    print(json.dumps(result))


def measure_database(
    stack: ExitStack, kind: str, sizes: list[int], rounds: int
) -> dict[str, list[float]]:
    """Fill a database of each size, measure every kind of request, and print the results."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepline-table-")))
    postgres = stack.enter_context(running_postgres(fsync=True)) if kind == "postgresql" else None
    sides = [Side(stack, folder, size, postgres) for size in sizes]
    found: dict[str, list[float]] = {}

    def add(name: str, seconds: list[float], unit: int, *, is_flat: bool = True) -> None:
        found[name] = seconds
        cells = "".join(f"{unit * each:>12.1f}" for each in seconds)
        ratio = f"{seconds[-1] / seconds[0]:>8.2f}" if is_flat else ""
        print(f"{name:<46}{cells}{ratio}", flush=True)

    print(f"\n{kind}: milliseconds, median of {rounds}; ratio of the largest size to the smallest")
    print(f"{'jobs':<46}{''.join(f'{size:>12,}' for size in sizes)}{'ratio':>8}")
    for name, build in KINDS.items():
        add(name, measure_kind(sides, build, rounds), 1000)
    add("sweep: finding queues to ring", measure_sweep(sides, rounds), 1000)
    add(
        "search without a hit, all pages, in seconds",
        [s.search_all() for s in sides],
        1,
        is_flat=False,
    )
    add("migration to 0005, in seconds", [s.migration_seconds for s in sides], 1, is_flat=False)
    return found


class Side:
    """The database and the server for one size."""

    def __init__(
        self, stack: ExitStack, folder: Path, size: int, postgres: Postgres | None
    ) -> None:
        self.size = size
        self.service = Service(
            folder / str(size),
            postgres.url(postgres.create_database()) if postgres else None,
            STEPLINE_DOORBELL="false",
            STEPLINE_TAKEOVER_SECONDS="86400",  # no worker renews its lease
            STEPLINE_SWEEP_SECONDS="3",
        )
        stack.callback(self.service.__exit__)
        self.database = Database(self.service.environment["STEPLINE_DATABASE_URL"])
        stack.callback(self.database.close)
        migrate(self.database)
        began = time.perf_counter()
        rows.write(self.database, size)
        print(f"{size:,} jobs written in {time.perf_counter() - began:.0f} s", flush=True)
        self.migration_seconds = measure_migration(self.database)
        # After the migrations, because a downgrade loses what later migrations added.
        rows.add_archived_and_models(self.database)
        rows.analyze(self.database)
        self.service.start_api()
        middle = self.service.job(rows.job_id(size // 2))["created_at"]
        self.deep = self.service.get("/v1/jobs", created_before=middle, limit=1)["cursor"]

    def send(self, request: Request) -> float:
        """Send a request that must succeed, and return the seconds until its response arrived."""
        method, path, rest = request
        if path.startswith("/internal/"):
            rest = rest | {"headers": {"Authorization": f"Bearer {WORKER_TOKEN}"}}
        began = time.perf_counter()
        response = self.service.client.request(method, path, **rest)
        seconds = time.perf_counter() - began
        assert response.status_code == (
            204 if path == HELLO_PATH else 201 if path == "/v1/jobs" and method == "POST" else 200
        ), response.text
        return seconds

    def search_all(self) -> float:
        """Return the seconds that a search without a hit takes to page through all jobs."""
        began = time.perf_counter()
        cursor: dict[str, str] = {}
        while True:
            page = self.service.get("/v1/jobs", search="not there", **cursor)
            assert not page["data"]
            if not page["has_more"]:
                return time.perf_counter() - began
            cursor = {"cursor": page["cursor"]}


def measure_kind(
    sides: list[Side], build: Callable[[Side, int], Request], rounds: int
) -> list[float]:
    """Return the median seconds that a kind of request takes, for each size."""
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(-WARM_UP, rounds):
        for side, measured in zip(sides, seconds, strict=True):
            request = build(side, number + WARM_UP)
            taken = side.send(request)
            if number >= 0:
                measured.append(taken)
    return [statistics.median(each) for each in seconds]


def measure_sweep(sides: list[Side], rounds: int) -> list[float]:
    """Return the median seconds that the sweep's queries for waiting jobs take, for each size."""
    medians = []
    for side in sides:
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            with side.database.reading() as session:
                now = database_now(session)
                for name in queue.list_queues(session):
                    queue.count_claimable(session, name, now, rows.WORKERS)
            seconds.append(time.perf_counter() - began)
        medians.append(statistics.median(seconds))
    return medians


def measure_migration(database: Database) -> float:
    """Return the seconds that migration 0005, which adds the indexes, takes on the existing rows."""
    with database.writer.begin() as connection:
        command.downgrade(alembic_config(connection), "0004")
    began = time.perf_counter()
    migrate(database)
    return time.perf_counter() - began


def _list(**query: Any) -> Callable[[Side, int], Request]:
    return lambda *_: ("GET", "/v1/jobs", {"params": query})


def _list_of_time(name: str, jobs_back: Callable[[int], int]) -> Callable[[Side, int], Request]:
    """Build a request that filters the list by the submission time of the job `jobs_back` places from the newest."""

    def build(side: Side, _: int) -> Request:
        at = rows.NEWEST_AT - timedelta(seconds=jobs_back(side.size))
        return "GET", "/v1/jobs", {"params": {name: at.isoformat()}}

    return build


def _deep(side: Side, _: int) -> Request:
    return "GET", "/v1/jobs", {"params": {"cursor": side.deep}}


def _deep_in_queue(side: Side, _: int) -> Request:
    """Continue a list by status in the middle of the queued jobs."""
    middle = Place(0, side.size - side.size // 20, QUEUED_SECTION)
    query = {"sort": "status", "cursor": encode_place(middle, JobSort.STATUS)}
    return "GET", "/v1/jobs", {"params": query}


def _job(number: Callable[[int], int]) -> Callable[[Side, int], Request]:
    return lambda side, _: ("GET", f"/v1/jobs/{rows.job_id(number(side.size))}", {})


def _whole_id(side: Side, _: int) -> Request:
    return "GET", "/v1/jobs", {"params": {"search": rows.job_id(side.size // 3)}}


def _submit(_: Side, __: int) -> Request:
    return "POST", "/v1/jobs", {"json": ONE_JOB}


def _submit_again(_: Side, __: int) -> Request:
    return "POST", "/v1/jobs", {"json": ONE_JOB, "headers": {"Idempotency-Key": "again"}}


def _claim(_: Side, number: int) -> Request:
    worker = {"worker_id": f"claims-{number % 4}", "queue": "default"}
    return "POST", CLAIM_PATH, {"json": {"worker": worker}}


def _claim_behind(_: Side, __: int) -> Request:
    """Claim for a worker that has only the model of the last jobs in the queue and does not download others."""
    worker = {"worker_id": "late-model-only", "queue": "default", "models": [rows.LATE_MODEL]}
    return "POST", CLAIM_PATH, {"json": {"worker": worker}}


def _cancel(side: Side, number: int) -> Request:
    return "POST", f"/v1/jobs/{rows.queued_id(side.size, number)}/cancel", {}


def _far_back(size: int) -> int:
    return size * 9 // 10


KINDS: dict[str, Callable[[Side, int], Request]] = {
    "GET /readyz": lambda *_: ("GET", "/readyz", {}),
    "list": _list(),
    "list, limit=100": _list(limit=100),
    "list, cursor half-way down": _deep,
    "list, status=queued": _list(status="queued"),
    "list, status=queued, limit=100": _list(status="queued", limit=100),
    "list, status=failed": _list(status="failed"),
    "list, three statuses": _list(status=["queued", "running", "failed"]),
    "list, created_before, 90 % back": _list_of_time("created_before", _far_back),
    "list, created_before, recent": _list_of_time("created_before", lambda _: 60),
    "list, created_after, 90 % back": _list_of_time("created_after", _far_back),
    "list, created_after, recent": _list_of_time("created_after", lambda _: 60),
    "list, a common label": _list(label="team:0"),
    "list, a rare label": _list(label="rare:yes"),
    "list, two labels": _list(label=["team:0", "stage:1"]),
    "list, a label and a status": _list(label="team:0", status="failed"),
    "list, a label with any value": _list(label="team"),
    "list, archived=true": _list(archived="true"),
    "list, archived=any": _list(archived="any"),
    "list, sort=status": _list(sort="status"),
    "list, sort=status, limit=100": _list(sort="status", limit=100),
    "list, sort=status, half-way down the queued": _deep_in_queue,
    "list, sort=status, a common label": _list(sort="status", label="team:0"),
    "list, sort=status, search without a hit": _list(sort="status", search="not there"),
    **{
        f"list, sort={sort}": _list(sort=sort)
        for sort in ("created_at", "name", "-name", "eval_loss", "-eval_loss", "-ended_at")
    },
    "list, sort=name, status=failed": _list(sort="name", status="failed"),
    "list, sort=eval_loss, a common label": _list(sort="eval_loss", label="team:0"),
    "list, sort=eval_loss, a rare label": _list(sort="eval_loss", label="rare:yes"),
    "list with counts": _list(counts="true"),
    "list with counts, a common label": _list(counts="true", label="team:0"),
    "list with counts, search without a hit": _list(counts="true", search="not there"),
    "search with many hits": _list(search="sweep"),
    "search with one hit": _list(search=rows.NEEDLE),
    "search without a hit": _list(search="not there"),
    "search without a hit, status=succeeded": _list(search="not there", status="succeeded"),
    "search for a whole id": _whole_id,
    "one job, first of its queue": _job(rows.first_queued),
    "one job, last of its queue": _job(lambda size: size - 1),
    "one job, ended": _job(lambda size: size // 2),
    "GET /v1/workers": lambda *_: ("GET", "/v1/workers", {}),
    "GET /v1/models": lambda *_: ("GET", "/v1/models", {}),
    "submission": _submit,
    "repeated submission with the same key": _submit_again,
    "cancellation of a queued job": _cancel,
    "hello from a worker": lambda *_: (
        "POST",
        HELLO_PATH,
        {"json": {"worker_id": "any-model", "queue": "default"}},
    ),
    "claim": _claim,
    "claim of a job behind all others": _claim_behind,
}
