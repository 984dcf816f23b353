"""Fills a database with the rows of a service that has run for a long time, as fast as the database accepts them.

About 90 % of the jobs have ended, a few are running, and the newest 10 % are queued, in three queues and with several
priorities. Most jobs have a name and labels.
"""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Table, select, update

from app.db.engine import Database
from app.db.tables import Attempt, Base, Job, JobLabel, JobText, Worker, WorkerModel, to_json
from app.jobs.store import sort_name_of, text_of
from contracts.attempt import AttemptStatus, WorkerInfo
from contracts.failure import Failure, FailureReason
from contracts.job import JobSpec, JobStatus
from contracts.model_facts import ModelFacts
from tests.factories import make_summary

QUEUES = ("default", "large", "default", "small", "default", "default", "large", "default")
PRIORITIES = (0, 0, 0, 5, 0, 0, -1, 0, 0, 10, 0)
ENDS = (*[JobStatus.SUCCEEDED] * 17, JobStatus.FAILED, JobStatus.FAILED, JobStatus.CANCELLED)
MODELS = 40
WORKERS = 20
RUNNING = 10
LATE = 40
"""Number of newest jobs; they wait behind all other jobs of their queue and use a model that no other job uses."""
LATE_MODEL = "team/late"
NEEDLE = "needle-in-hay"
NEEDLE_FROM_NEWEST = 900
NEWEST_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
"""Submission time of the newest job; the jobs were submitted one second apart."""
ARCHIVED_EVERY = 50
_PLAIN = {"synchronize_session": False}
_CHUNK = 20_000
_SUMMARY = json.dumps(
    to_json(make_summary(windows=[{"step": 10 * n, "loss": 2.5 - n / 50} for n in range(1, 51)]))
)
_FAILURE = json.dumps(to_json(Failure(reason=FailureReason.CRASHED, detail="at step 3\n" * 40)))
_WORKER = json.dumps(to_json(WorkerInfo(worker_id="worker-0", host="gpu-host")))


def job_id(index: int) -> str:
    """Return the id of a job; 0 is the oldest."""
    return f"job_{index:024x}"


def first_queued(size: int) -> int:
    """Return the index of the first job that a claim takes from the queue `default`."""
    queued = range(size - size // 10, size)
    best = [n for n in queued[:1000] if _priority(n, size) == 10 and _queue(n, size) == "default"]
    return best[0]


def queued_id(size: int, nth: int) -> str:
    """Return the id of a job in the middle of the queues, a different job for each `nth`."""
    middle = size - size // 20
    return job_id(middle - nth)


def write(database: Database, size: int) -> None:
    """Fill a migrated, empty database with `size` jobs."""
    tables = {
        Worker: _workers(),
        Job: (_job(n, size) for n in range(size)),
        JobText: ((n + 1, *_texts_of(n, size), False) for n in range(size)),
        JobLabel: _labels(size),
        Attempt: _attempts(size),
    }
    for model, rows in tables.items():
        _insert(database, Base.metadata.tables[model.__tablename__], rows)


def add_archived_and_models(database: Database) -> None:
    """Archive some of the jobs that have ended, and give all workers the same models."""
    archived = update(Job).where(Job.number % ARCHIVED_EVERY == 0, Job.ended_at.is_not(None))
    among = select(Job.number).where(Job.archived)
    names = [f"team/model-{number}" for number in range(MODELS)]
    facts = to_json(ModelFacts(name="-", architecture="Qwen2ForCausalLM", max_length=32_768))
    with database.writing() as session:
        session.execute(archived.values(archived=True), execution_options=_PLAIN)
        for table in (JobText, JobLabel):
            copies = update(table).where(table.number.in_(among)).values(archived=True)
            session.execute(copies, execution_options=_PLAIN)
        times = {"first_seen_at": NEWEST_AT, "reported_at": NEWEST_AT}
        session.add_all(
            WorkerModel(worker_id=f"worker-{n}", name=name, facts=facts | {"name": name}, **times)
            for n in range(WORKERS)
            for name in names
        )


def analyze(database: Database) -> None:
    """Analyze PostgreSQL's tables, as autovacuum eventually does. On SQLite the service never runs ANALYZE."""
    if not database.is_sqlite:
        with psycopg.connect(**_dsn(database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _status(n: int, size: int) -> JobStatus:
    if n >= size - size // 10:
        return JobStatus.QUEUED
    return JobStatus.RUNNING if n >= size - size // 10 - RUNNING else ENDS[n % len(ENDS)]


def _queue(n: int, size: int) -> str:
    return "default" if n >= size - LATE else QUEUES[n % len(QUEUES)]


def _priority(n: int, size: int) -> int:
    return -5 if n >= size - LATE else PRIORITIES[n % len(PRIORITIES)]


def _model(n: int, size: int) -> str:
    return LATE_MODEL if n >= size - LATE else f"team/model-{n % MODELS}"


def _name(n: int, size: int) -> str | None:
    if n == size - NEEDLE_FROM_NEWEST:
        return NEEDLE
    return None if n % 5 == 0 else f"sweep {n // 8}, learning rate {1 + n % 8}e-4"


def _texts_of(n: int, size: int) -> tuple[str, str | None]:
    name = _name(n, size) or ""
    return text_of(name, _model(n, size), job_id(n)), sort_name_of(name)


def _labels_of(n: int, size: int) -> dict[str, str]:
    labels = {"team": str(n % 2), "stage": str(n % 3)} if n % 4 else {}
    if n >= size - 1000 and n % 300 == 0:
        labels["rare"] = "yes"
    return labels


def created_at(n: int, size: int) -> datetime:
    """Return the time at which a job was submitted."""
    return NEWEST_AT - timedelta(seconds=size - 1 - n)


def _spec(n: int, size: int, full_spec: dict[str, Any]) -> str:
    own = {
        "model": _model(n, size),
        "name": _name(n, size),
        "labels": _labels_of(n, size),
        "priority": _priority(n, size),
        "queue": _queue(n, size),
    }
    return json.dumps(full_spec | own)


_FULL_SPEC = to_json(
    JobSpec.model_validate({"model": "m", "dataset": {"train": {"hub": "team/rows"}}})
)


def _job(n: int, size: int) -> tuple[Any, ...]:
    status, submitted_at = _status(n, size), created_at(n, size)
    started = status is not JobStatus.QUEUED
    values: dict[str, Any] = {
        "number": n + 1,
        "id": job_id(n),
        "status": status.value,
        "version": 40 if started else 1,
        "spec": _spec(n, size, _FULL_SPEC),
        "model": _model(n, size),
        "queue": _queue(n, size),
        "priority": _priority(n, size),
        "archived": False,
        "gpus": 1,
        "most_gpus": 1,
        "is_mixed": False,
        "reserved_seconds": 0,
        "created_at": submitted_at,
        "started_at": submitted_at + timedelta(minutes=1) if started else None,
        "ended_at": submitted_at + timedelta(minutes=9) if status.is_final else None,
        "attempt_number": int(started),
        "current_attempt_id": _attempt_id(n) if status is JobStatus.RUNNING else None,
        "losses": 0,
        "checkpoint_step": 0,
        "lost_checkpoint_step": 0,
        "phase": "training" if status is JobStatus.RUNNING else None,
        "step": 500 if started else 0,
        "total_steps": 500 if started else None,
        "epoch": 1.0 if started else None,
        "last_loss": 1.5 if started else None,
        "eval_loss": 1.6 + n % 997 / 1000 if status is JobStatus.SUCCEEDED else None,
        "failure": _FAILURE if status is JobStatus.FAILED else None,
        "summary": _SUMMARY if status is JobStatus.SUCCEEDED else None,
    }
    return tuple(values.get(column.name) for column in Base.metadata.tables["jobs"].c)


def _labels(size: int) -> Iterator[tuple[Any, ...]]:
    for n in range(size):
        for key, value in _labels_of(n, size).items():
            yield job_id(n), key, value, created_at(n, size), n + 1, False


def _attempt_id(n: int) -> str:
    return f"att_{n:024x}"


def _attempts(size: int) -> Iterator[tuple[Any, ...]]:
    columns = Base.metadata.tables["attempts"].c
    for n in range(size - size // 10):
        is_running = _status(n, size) is JobStatus.RUNNING
        at = created_at(n, size)
        far_future = datetime(2100, 1, 1, tzinfo=UTC)
        values: dict[str, Any] = {
            "id": _attempt_id(n),
            "job_id": job_id(n),
            "number": 1,
            "status": (AttemptStatus.RUNNING if is_running else AttemptStatus.SUCCEEDED).value,
            "token_sha256": "0" * 64,
            "worker_id": f"worker-{n % WORKERS}",
            "worker": _WORKER,
            "gpus": 1,
            "started_at": at,
            "synced_at": at,
            "lease_expires_at": far_future if is_running else at,
            "takeover_at": far_future if is_running else at,
            "ended_at": None if is_running else at,
            "seen_seq": 500,
            "acked_seq": 500,
            "folded_seq": 0,
            "acked_output": 0,
            "acked_note": 0,
            "judged_seq": 0,
            "judged_at": None,
            "first_step": 1,
            "last_step": 500,
        }
        yield tuple(values.get(column.name) for column in columns)


def _workers() -> Iterator[tuple[Any, ...]]:
    columns = Base.metadata.tables["workers"].c
    for n in range(WORKERS):
        values = {
            "id": f"worker-{n}",
            "queue": "default",
            "info": _WORKER,
            "suspect_check_count": 0,
            "first_seen_at": NEWEST_AT,
            "last_seen_at": NEWEST_AT,
        }
        yield tuple(values.get(column.name) for column in columns)


def _insert(database: Database, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.c)
    if database.is_sqlite:
        marks = ", ".join("?" for _ in table.c)
        statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608  # names from the schema
        connection = sqlite3.connect(str(database.url.database), isolation_level=None)
        connection.execute("BEGIN")
        while chunk := list(itertools.islice(rows := iter(rows), _CHUNK)):
            connection.executemany(statement, [[_sqlite(value) for value in row] for row in chunk])
        connection.execute("COMMIT")
        connection.close()
        return
    with psycopg.connect(**_dsn(database)) as server, server.cursor() as cursor:
        with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
        if table.name == "jobs":
            cursor.execute("SELECT setval('jobs_number_seq', (SELECT max(number) FROM jobs))")


def _sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


def _dsn(database: Database) -> dict[str, Any]:
    url = database.url
    return {
        "host": str(url.query["host"]),
        "user": url.username,
        "dbname": url.database,
    }
