"""Database access: engines, sessions and the database's clock. Each request is one transaction.

On SQLite there is one writer connection. Its pool serializes threads, and `BEGIN IMMEDIATE` serializes processes.
Readers have their own connections and never wait. On PostgreSQL, readers and writers share one pool.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic_core import from_json
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.sql import WrittenJson

T = TypeVar("T")

MOST_CONNECTIONS = 40
"""Maximum open connections: one per request thread (anyio's default limit). A thread holds at most one."""
KEPT_CONNECTIONS = 10
"""Number of connections kept open while idle."""
BUSY_SECONDS = 5
"""How long SQLite waits for another process's write lock, and how long a thread waits for the writer connection."""
POSTGRESQL_OPTIONS = (
    "-c statement_timeout=10s -c lock_timeout=3s -c idle_in_transaction_session_timeout=30s"
)


def _write_json(value: object) -> str:
    return value if isinstance(value, WrittenJson) else json.dumps(value)


class Database:
    """Access to the database through `writing()` and `reading()`. Each opens one transaction."""

    def __init__(self, url: str) -> None:
        self.url = _with_driver(make_url(url))
        self._lock: IO[bytes] | None = None
        if self.is_sqlite:
            self.writer, self.reader = _sqlite_engines(self.url)
        else:
            self.writer, self.reader = _postgresql_engines(self.url)

    @property
    def is_sqlite(self) -> bool:
        """True if the database is SQLite."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that commits at the end and rolls back on an exception."""
        with Session(self.writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction on one snapshot of the database."""
        # Commit here too, because psycopg discards prepared statements after a rollback.
        with Session(self.reader, expire_on_commit=False) as session, session.begin():
            yield session

    def lock_for_this_server(self) -> bool:
        """Lock the SQLite file for this server. Return False if another server uses it; always True on PostgreSQL.

        SQLite before 3.51.3 can corrupt a WAL that two processes write to.
        """
        if not self.is_sqlite or not self.url.database:
            return True
        self._lock = Path(f"{self.url.database}.lock").open("wb")  # noqa: SIM115  # held until close()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Close every connection and release the lock file. Connections that other threads use are closed when they are returned."""
        for engine in (self.writer, self.reader):
            event.listen(engine.pool, "checkin", _close_returned)
            engine.dispose()
        if self._lock is not None:
            self._lock.close()


def _close_returned(_: object, record: ConnectionPoolEntry) -> None:
    record.invalidate()


async def get_database(request: Request) -> Database:
    """Return the server's database."""
    database: Database = request.app.state.database
    return database


DatabaseDep = Annotated[Database, Depends(get_database)]
"""The database, for a route that opens and ends its transaction in its own thread before the response is sent.

A session from a dependency would be closed in another thread and hold its connection while it waits for that thread.
With a few hundred concurrent requests, this would deadlock: all threads would wait for connections, and all connections
for threads.
"""


_SQLITE_NOW = select(func.strftime("%Y-%m-%d %H:%M:%f", "now"))
_POSTGRESQL_NOW = select(func.clock_timestamp())


def database_now(session: Session) -> datetime:
    """Return the current time of the database's clock, in UTC. Leases depend only on this clock."""
    if session.get_bind().dialect.name == "sqlite":
        text = session.scalar(_SQLITE_NOW)
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    now: datetime = session.scalars(_POSTGRESQL_NOW).one()
    return now.astimezone(UTC)


def _with_driver(url: URL) -> URL:
    if url.drivername in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg")
    return url


def _sqlite_engines(url: URL) -> tuple[Engine, Engine]:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    writer = create_engine(
        url,
        hide_parameters=True,
        json_serializer=_write_json,
        json_deserializer=from_json,
        pool_size=1,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
    )
    reader = create_engine(
        url,
        hide_parameters=True,
        json_deserializer=from_json,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
        pool_timeout=BUSY_SECONDS,
    )
    for engine, begin in ((writer, "BEGIN IMMEDIATE"), (reader, "BEGIN")):
        event.listen(engine, "connect", _prepare_sqlite)
        _begin_with(engine, begin)
    return writer, reader


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = (
        None  # the `begin` listener opens transactions instead of the driver
    )
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_with(engine: Engine, statement: str) -> None:
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


def _postgresql_engines(url: URL) -> tuple[Engine, Engine]:
    engine = create_engine(
        url,
        hide_parameters=True,  # keeps users' data out of the logs
        json_serializer=_write_json,
        json_deserializer=from_json,
        pool_pre_ping=True,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
        pool_timeout=BUSY_SECONDS,
        connect_args={
            "connect_timeout": 3,
            "options": POSTGRESQL_OPTIONS,
            "application_name": "stepline",
            # A database created without a locale uses SQL_ASCII, for which psycopg returns text as bytes by default.
            "client_encoding": "utf8",
        },
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine, reader
