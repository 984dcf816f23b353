"""Database work per request does not grow with the number of jobs.

The tests measure work instead of time: virtual-machine instructions on SQLite, and the rows that each node of the executed
plan reads on PostgreSQL.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import pytest
from sqlalchemy import Connection, event, false, insert, literal, select, update
from sqlalchemy.orm import Session

from app.attempts.claim import claim_next, receive_hello
from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.tables import Attempt, DeviceFailure, Job
from app.jobs import service
from app.jobs.listing import lists
from app.jobs.listing.cursors import encode_place
from app.jobs.listing.walks import QUEUED_SECTION, Key, Place
from app.jobs.queue import order as queue
from app.jobs.schemas import JobFilter, JobSort
from app.jobs.submission import submit
from app.leases.lease import Times
from app.workers import service as workers
from benchmarks.filling import rows
from contracts.attempt import ClaimRequest, DeviceCheck, WorkerInfo
from contracts.job import JobSpec, JobStatus
from tests.app.conftest import KINDS
from tests.programs.postgres import Postgres

SMALL, LARGE = 1000, 4000
GROWTH = 1.25
"""Tolerated factor: a B-tree with four times as many entries may be one level deeper."""
FEW = 60
"""Tolerated difference in rows or in ticks of the SQLite meter: about one tree page."""
INSTRUCTIONS = 25
"""Instructions per tick of the SQLite meter."""


class DatabaseRequest(Protocol):
    """A request to a database with `size` jobs."""

    def __call__(self, session: Session, size: int) -> object: ...


@pytest.fixture(scope="module", params=KINDS)
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Database]]:
    """Yield a small and a large database, once for each kind of database."""
    made = []
    tmp_path = tmp_path_factory.mktemp("flat")
    with contextlib.ExitStack() as stack:
        for size in (SMALL, LARGE):
            if request.param == "sqlite":
                path = tmp_path / f"{size}.db"
                shutil.copy(request.getfixturevalue("migrated_file"), path)
                url = f"sqlite:///{path}"
            else:
                server: Postgres = request.getfixturevalue("postgres")
                name = server.create_database(request.getfixturevalue("migrated_template"))
                stack.callback(server.drop_database, name)
                url = server.url(name)
            database = Database(url)
            stack.callback(database.close)
            rows.write(database, size)
            make_most_jobs_large(database, size)
            add_excused_failures(database)
            rows.analyze(database)
            made.append(database)
        yield made


def make_most_jobs_large(database: Database, size: int) -> None:
    """Make all jobs of the queue `large` except the newest require eight GPUs."""
    most = (Job.queue == "large", Job.number <= size - rows.LATE)
    with database.writing() as session:
        session.execute(update(Job).where(*most).values(gpus=8, most_gpus=8))


def add_excused_failures(database: Database) -> None:
    """Record that the devices of all attempts failed, then passed a check and have worked since."""
    names = "attempt_id number job_id worker_id device check_count checkpoint_step failed_at passed_at blames_device"
    device, count, step, blames_device = literal("GPU-1"), literal(1), literal(0), false()
    failures = select(
        *(Attempt.id, Attempt.number, Attempt.job_id, Attempt.worker_id, device, count),
        *(step, Attempt.started_at, Attempt.started_at, blames_device),
    )
    with database.writing() as session:
        session.execute(insert(DeviceFailure).from_select(names.split(), failures))


class Meter:
    """Counts the work of statements on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements: list[tuple[str, Any]] = []
        self._ticks = 0
        for engine in {database.reader, database.writer}:
            if database.is_sqlite:
                event.listen(engine, "checkout", self._watch)
            else:
                event.listen(engine, "before_cursor_execute", self._note)

    def measure(self, send: Callable[[Session], object]) -> int:
        """Return the work of a request: instructions on SQLite, rows read on PostgreSQL."""
        self._statements.clear()
        self._ticks = 0
        with self._database.writing() as session:
            send(session)
        if self._database.is_sqlite:
            return self._ticks * INSTRUCTIONS
        return sum(self._count_rows(*each) for each in list(self._statements))

    def _watch(self, connection: Any, *_: object) -> None:
        def tick() -> int:
            self._ticks += 1
            return 0

        connection.set_progress_handler(tick, INSTRUCTIONS)

    def _note(
        self, _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        if statement.startswith(("SELECT", "WITH", "UPDATE")):
            self._statements.append((statement, parameters))

    def _count_rows(self, statement: str, parameters: Any) -> int:
        with self._database.writer.connect() as connection:
            # A small table is cheaper to scan, but this test checks whether the query can use an index.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "
            plans = connection.exec_driver_sql(explain + statement, parameters).scalar_one()
            connection.rollback()
        return sum(_rows_of(plan["Plan"]) for plan in plans)


def _rows_of(node: dict[str, Any]) -> int:
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    own: int = round((node["Actual Rows"] + removed) * node["Actual Loops"])
    return own + sum(_rows_of(each) for each in node.get("Plans", []))


def _list(limit: int = 20, cursor: str | None = None, **chosen: Any) -> DatabaseRequest:
    def send(session: Session, size: int) -> object:
        filters = {
            name: value(size) if callable(value) else value for name, value in chosen.items()
        }
        return service.list_jobs(session, _filter(**filters), cursor, limit, "en")

    return send


def _count(**chosen: Any) -> DatabaseRequest:
    return lambda session, size: service.count_jobs(  # noqa: ARG005  # the protocol names it
        session, _filter(**chosen)
    )


def _filter(**chosen: Any) -> JobFilter:
    empty: dict[str, Any] = {
        "search": "",
        "statuses": [],
        "labels": [],
        "created_after": None,
        "created_before": None,
    }
    return JobFilter(**empty | chosen)


def _cursor(key: Key, sort: JobSort) -> str:
    return encode_place(Place(key, 500), sort)


def _job(index: Callable[[int], int]) -> DatabaseRequest:
    return lambda session, size: service.get_job(session, rows.job_id(index(size)), "en")


def _submit(session: Session, size: int) -> object:
    spec = JobSpec.model_validate(
        {"model": "team/model-0", "dataset": {"train": {"hub": "team/rows"}}}
    )
    return submit.submit_job(session, spec, "key")


def _claim(models: list[str] | None) -> DatabaseRequest:
    def send(session: Session, size: int) -> object:
        settings = Settings(worker_token="t")
        receive_hello(session, WorkerInfo(worker_id="any"), Times.of(settings))
        worker = WorkerInfo(worker_id="worker-1", models=models)
        claim = claim_next(session, ClaimRequest(worker=worker), settings).claim
        assert claim is not None
        return claim

    return send


def _claim_on_host(free_cards: int, **worker: Any) -> DatabaseRequest:
    """Claim a job of the queue `large` on a host with a different number of GPUs."""

    def send(session: Session, size: int) -> object:
        info = WorkerInfo(worker_id="worker-2", queue="large", host_id="host", **worker)
        request = ClaimRequest(worker=info, free_cards=free_cards)
        return claim_next(session, request, Settings(worker_token="t"))

    return send


def _claim_nothing(free_cards: int) -> DatabaseRequest:
    """Claim on a host that has no model of the queue `large`, while another worker has all of them."""

    def send(session: Session, size: int) -> object:
        settings = Settings(worker_token="t")
        info = WorkerInfo(worker_id="w", queue="large", host_id="h", cards=8, models=["team/no"])
        models = [f"team/model-{number}" for number in range(rows.MODELS)]
        other = info.model_copy(update={"worker_id": "x", "host_id": "", "models": models})
        receive_hello(session, other, Times.of(settings))
        claim = claim_next(session, ClaimRequest(worker=info, free_cards=free_cards), settings)
        assert claim.claim is None
        return queue.is_large_startable(session, "large", database_now(session), [info])

    return send


def _hello(session: Session, size: int) -> object:
    check = DeviceCheck(passed=True, count=1)
    worker = WorkerInfo(worker_id="worker-1", host_id="host", device_check=check)
    return receive_hello(session, worker, Times.of(Settings(worker_token="t")))


def _sweep(session: Session, size: int) -> object:
    now = database_now(session)
    return [queue.count_claimable(session, name, now, 5) for name in queue.list_queues(session)]


def _workers(session: Session, size: int) -> object:
    return workers.list_workers(session, database_now(session))


def _back(share: float) -> Callable[[int], object]:
    return lambda size: rows.created_at(size - 1 - int(share * size), size)


REQUESTS: dict[str, DatabaseRequest] = {
    "list": _list(),
    "list of 100": _list(limit=100),
    "queued": _list(statuses=[JobStatus.QUEUED]),
    "queued, 100": _list(limit=60, statuses=[JobStatus.QUEUED]),
    "some statuses": _list(statuses=[JobStatus.QUEUED, JobStatus.FAILED, JobStatus.PAUSED]),
    "a status that no job has": _list(statuses=[JobStatus.PAUSED]),
    "created long ago": _list(created_before=_back(0.9)),
    # This filter skips the same number of jobs in both databases, because the cost of a page also
    # depends on how many queues its jobs span.
    "created recently": _list(created_before=lambda size: rows.created_at(size - rows.LATE, size)),
    "created after a time long ago": _list(created_after=_back(0.9)),
    "created in a range": _list(created_after=_back(0.9), created_before=_back(0.8)),
    "a common label": _list(labels=[("team", "0")]),
    "a rare label": _list(labels=[("rare", "yes")]),
    "two labels": _list(labels=[("team", "0"), ("stage", "1")]),
    "two values of one label": _list(labels=[("team", "0"), ("team", "1")]),
    "a label and a status": _list(labels=[("team", "0")], statuses=[JobStatus.FAILED]),
    "a search with hits": _list(search="sweep"),
    "a search without hits": _list(search="not there"),
    "a search among statuses": _list(
        search="not there", statuses=[JobStatus.FAILED, JobStatus.SUCCEEDED]
    ),
    "a search within a label": _list(search="not there", labels=[("team", "1")]),
    "a full id": _list(search=rows.job_id(7)),
    "the first job in a queue": _job(rows.first_queued),
    "the last job in a queue": _job(lambda size: size - 1),
    "an ended job": _job(lambda size: size // 2),
    **{f"sorted by {sort.value}": _list(sort=sort) for sort in JobSort},
    "the next page by name": _list(sort=JobSort.NAME, cursor=_cursor("sweep 2", JobSort.NAME)),
    "the next page by eval loss": _list(
        sort=JobSort.EVAL_LOSS, cursor=_cursor(1.6, JobSort.EVAL_LOSS)
    ),
    "the next page of queued jobs": lambda session, size: service.list_jobs(
        session,
        _filter(sort=JobSort.STATUS),
        encode_place(Place(0, size - size // 20, QUEUED_SECTION), JobSort.STATUS),
        20,
        "en",
    ),
    "the best eval losses of a label": _list(sort=JobSort.EVAL_LOSS, labels=[("team", "0")]),
    "the best eval losses of a rare label": _list(sort=JobSort.EVAL_LOSS, labels=[("rare", "yes")]),
    "the names of failed jobs": _list(sort=JobSort.NAME, statuses=[JobStatus.FAILED]),
    "a label by status": _list(sort=JobSort.STATUS, labels=[("team", "0")]),
    "a search by status": _list(sort=JobSort.STATUS, search="not there"),
    "a label with any value": _list(label_keys=["rare"]),
    "archived jobs": _list(archived=True),
    "archived jobs and others": _list(archived=None),
    "names": lambda session, size: service.list_names(  # noqa: ARG005  # the protocol names it
        session, _filter(), None, 200
    ),
    "counts": _count(),
    "counts of a label": _count(labels=[("team", "0")]),
    "counts of a search": _count(search="not there"),
    "submission": _submit,
    "claim": _claim(None),
    "a claim behind jobs for other models": _claim([rows.LATE_MODEL]),
    "a claim for one GPU behind larger jobs": _claim_on_host(1),
    "a claim behind jobs that are too large": _claim_on_host(2, cards=4),
    "a claim behind large jobs for other models": _claim_nothing(8),
    "a claim with few GPUs behind large jobs for other models": _claim_nothing(2),
    "a claim that reserves a host": _claim_on_host(2, cards=8),
    "a claim on a reserved host": _claim_on_host(2, cards=8),
    "a claim of a large job": _claim_on_host(8, cards=8),
    "hello of a worker with a GPU": _hello,
    "workers": _workers,
    "sweep": _sweep,
}


def test_no_request_does_more_work_with_four_times_as_many_jobs(
    databases: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lower the limits so that the small database exceeds them too.
    monkeypatch.setattr(queue, "MOST_PLACES", 10)
    monkeypatch.setattr(lists, "MOST_SEARCHED", 30)
    monkeypatch.setattr(lists, "MOST_COUNTED", 30)
    meters = [Meter(database) for database in databases]
    grown = {}

    for name, send in REQUESTS.items():
        work = [
            meter.measure(partial(send, size=size))
            for meter, size in zip(meters, (SMALL, LARGE), strict=True)
        ]
        if work[1] > GROWTH * work[0] + FEW * (INSTRUCTIONS if databases[0].is_sqlite else 1):
            grown[name] = work

    assert not grown


def test_the_meter_detects_a_request_that_reads_every_row(databases: list[Database]) -> None:
    meters = [Meter(database) for database in databases]

    small, large = (
        meter.measure(
            lambda session: (
                session.connection()
                .exec_driver_sql("SELECT count(*) FROM jobs WHERE version > 5")
                .scalar_one()
            )
        )
        for meter in meters
    )

    assert large > 3 * small
