"""The database: engines, sessions, its clock. One request is one transaction.

On SQLite there is one writer connection, whose pool is the lock between threads, and `BEGIN IMMEDIATE` between
processes; readers have connections of their own and never wait. On PostgreSQL both share one pool.
"""

import fcntl
import functools
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic_core import from_json
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Table,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

T = TypeVar("T")

MOST_CONNECTIONS = 40
"""As many as there are threads for requests (anyio's default), each of which holds one at most."""
KEPT_CONNECTIONS = 10
"""Those of them that stay open when nobody needs them."""
BUSY_SECONDS = 5
"""How long SQLite waits for another process's write, and a thread for the one writer connection."""
POSTGRESQL_OPTIONS = (
    "-c statement_timeout=10s -c lock_timeout=3s -c idle_in_transaction_session_timeout=30s"
)

_POSTGRESQL_DISK_FULL = "53100"


class WrittenJson(str):
    """JSON as text, for a JSON column: it is stored as it stands."""

    __slots__ = ()


def _write_json(value: object) -> str:
    return value if isinstance(value, WrittenJson) else json.dumps(value)


class Database:
    """The two ways in: `writing()` and `reading()`. Each is one transaction."""

    def __init__(self, url: str) -> None:
        self.url = _with_driver(make_url(url))
        self._lock: IO[bytes] | None = None
        if self.is_sqlite:
            self.writer, self.reader = _sqlite_engines(self.url)
        else:
            self.writer, self.reader = _postgresql_engines(self.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that commits at the end, unless an exception leaves it."""
        with Session(self.writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that sees one moment of the database and changes nothing."""
        # It ends with a commit as well: after a rollback psycopg forgets every statement that it has prepared.
        with Session(self.reader, expire_on_commit=False) as session, session.begin():
            yield session

    def take_alone(self) -> bool:
        """Make sure that no other server uses the same SQLite file; False if one does.

        SQLite below 3.51.3 can damage a WAL that two processes write to.
        """
        if not self.is_sqlite or not self.url.database:
            return True
        self._lock = Path(f"{self.url.database}.lock").open("wb")  # noqa: SIM115  # held as long as this lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Close every connection and let the file go."""
        self.writer.dispose()
        self.reader.dispose()
        if self._lock is not None:
            self._lock.close()


async def get_database(request: Request) -> Database:
    """Return the server's database."""
    database: Database = request.app.state.database
    return database


DatabaseDep = Annotated[Database, Depends(get_database)]
"""A route opens and ends its transaction itself, in its own thread, and before the first byte of the answer leaves.

A session that was a dependency would end in another thread, and hold a connection while it waits for one: of a few
hundred requests at once all threads would wait for connections, and all connections for threads.
"""


_SQLITE_NOW = select(func.strftime("%Y-%m-%d %H:%M:%f", "now"))
_POSTGRESQL_NOW = select(func.clock_timestamp())


def database_now(session: Session) -> datetime:
    """Return the present moment by the database's clock, in UTC. The only clock that decides about leases."""
    if session.get_bind().dialect.name == "sqlite":
        text = session.scalar(_SQLITE_NOW)
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    now: datetime = session.scalars(_POSTGRESQL_NOW).one()
    return now.astimezone(UTC)


class moment(FunctionElement[datetime]):  # noqa: N801  # it reads as the function of SQL that it is
    """Within a statement: so many seconds from the present moment by the database's clock."""

    inherit_cache = True


@compiles(moment, "postgresql")
def _postgresql_moment(element: moment, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"clock_timestamp() + make_interval(secs => {seconds})"


@compiles(moment, "sqlite")
def _sqlite_moment(element: moment, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


def written_out(column: InstrumentedAttribute[T], value: T) -> ColumnElement[bool]:
    """Return column = value with the value as a part of the statement, not as one of its parameters.

    A partial index serves only statements that imply its condition whatever their parameters are.
    """
    return column == bindparam(None, value, type_=column.type, literal_execute=True)


def says_disk_full(error: Exception) -> bool:
    """Whether the database refused because its disk is full."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL


def insert_missing(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key is not there yet and return how many that were."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    target: Table = getattr(table, "__table__", table)
    key = next(iter(target.primary_key))
    inserted = 0
    for row in rows:
        statement = dialect.insert(target).values(**row).on_conflict_do_nothing().returning(key)
        inserted += session.execute(statement).first() is not None
    return inserted


def insert_many(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows quickly; what goes into a JSON column comes as WrittenJson.

    PostgreSQL is given all of them as one text: a statement for each row, as the driver does it, takes twice as long.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Characters as they are: a database in SQL_ASCII cannot turn their escapes into text.
        written = WrittenJson(json.dumps(rows, default=str, ensure_ascii=False))
        session.execute(_insert_from_json(table), {"rows": written})
    else:
        session.execute(_insert_rows(table), rows)


@functools.cache
def _insert_rows(table: Table) -> Insert:
    return insert(table)


@functools.cache
def _insert_from_json(table: Table) -> Insert:
    columns = [
        column(each.name, Text() if isinstance(each.type, JSON) else each.type) for each in table.c
    ]
    rows = (
        func.json_to_recordset(bindparam("rows", type_=JSON()))
        .table_valued(*columns, name="rows")
        .render_derived(with_types=True)
    )
    values = [
        cast(rows.c[each.name], JSON) if isinstance(each.type, JSON) else rows.c[each.name]
        for each in table.c
    ]
    return insert(table).from_select(list(table.c), select(*values))


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
        None  # the driver opens no transaction of its own; `begin` below does
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
        hide_parameters=True,  # logs are not for users' data
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
            # A database made without a locale is SQL_ASCII: unasked, psycopg would give bytes for text.
            "client_encoding": "utf8",
        },
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine, reader
