"""Fixtures for the server's tests: both databases, a client, and a player that acts as users and workers over HTTP."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database
from app.main import create_app
from app.migrate import migrate
from tests.app.bellringer import Bellringer
from tests.app.player import BASE_URL, Player
from tests.programs.postgres import Postgres
from tests.programs.server_process import TOKEN

# Plain tracebacks: the pretty ones show every local variable and take seconds.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
)

ROUTES: dict[str, list[BaseRoute]] = {}
"""The routes of this process's first application, which all its later applications share."""

COMPILED: LRUCache[Any, Any] = LRUCache(5000)
"""Statements that this process has compiled. Compiling them for each test would take a quarter of the run time."""

KINDS = ("sqlite", "postgresql")

PORTABLE = (
    "attempts/test_progress.py",
    "attempts/test_syncs.py",
    "checkpoints/",
    "datasets/review/test_upload_reviews.py",
    "datasets/test_conversion.py",
    "datasets/test_datasets.py",
    "datasets/test_formats.py",
    "edge/",
    "errors/test_field_errors.py",
    "health/",
    "history/test_exports.py",
    "history/test_history.py",
    "history/test_loss.py",
    "history/test_metrics.py",
    "imports/test_imports.py",
    "jobs/endings/",
    "jobs/queue/test_cards_held.py",
    "jobs/queue/test_gpu_rings.py",
    "jobs/queue/test_gpus.py",
    "jobs/queue/test_larger_hosts.py",
    "jobs/queue/test_reservation_takeover.py",
    "jobs/test_asking.py",
    "jobs/test_edits.py",
    "jobs/test_mixtures.py",
    "measurements/",
    "models/",
    "openai/test_aliases.py",
    "openai/test_checkpoints.py",
    "openai/test_events.py",
    "openai/test_integrations.py",
    "openai/test_jobs.py",
    "plans/",
    "presets/",
    "previews/",
    "series/",
    "site/",
    "storage/test_artifacts.py",
    "storage/test_storage.py",
    "webhooks/test_webhooks.py",
)
"""Tests whose SQL is the same on both databases, whose statements other tests run on both, or that compare values and messages
rather than what a database does. They run on PostgreSQL only with --slow: run them there after a change of their SQL. The others
test locks, transactions, concurrent requests, migrations, sorting, planned indexes, or values that PostgreSQL rejects.
"""

STRICTER_ON_POSTGRESQL = ("errors/test_errors.py",)
"""Long tests of values that PostgreSQL rejects and SQLite stores. They run on SQLite only with --slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of PORTABLE as slow on PostgreSQL, and those of STRICTER_ON_POSTGRESQL on SQLite."""
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        name = str(item.path.relative_to(here))
        database = "postgresql" if name.startswith(PORTABLE) else "sqlite"
        if name.startswith((*PORTABLE, *STRICTER_ON_POSTGRESQL)) and database in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _equal_dialects() -> Iterator[None]:
    """Make equivalent dialects compare equal, because the keys of COMPILED include the dialect."""

    def traits(dialect: Any) -> tuple[object, ...]:
        return type(dialect), getattr(dialect, "_json_serializer", None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultDialect, "__eq__", lambda one, other: traits(one) == traits(other))
        patch.setattr(DefaultDialect, "__hash__", lambda one: hash(traits(one)))
        yield


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a migrated SQLite database, which tests copy."""
    path = tmp_path_factory.mktemp("migrated") / "stepline.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """Return the name of a migrated PostgreSQL database, which tests copy."""
    name = postgres.create_database()
    database = Database(postgres.url(name))
    migrate(database)
    database.close()
    return name


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a database without a schema, once for each kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/stepline.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def url_without_encoding(postgres: Postgres) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database that was created without an encoding or a locale."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    plain = "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'"
    postgres.execute(f"CREATE DATABASE {name} {plain}")
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a new, migrated database, once for each kind of database."""
    if request.param == "sqlite":
        path = tmp_path / "stepline.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create_database(request.getfixturevalue("migrated_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Return settings for a server without a broker."""
    return Settings(
        database_url=database_url,
        data_dir=tmp_path / "files",
        worker_token=TOKEN,
        doorbell=False,
        max_upload_bytes=1_000_000,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    """Yield the application without its lifespan, so no sweep runs unless a test starts one."""
    app = create_app(settings)
    # FastAPI analyses each route on its first request. Doing this for every application takes a fifth of the run time.
    app.router.routes = [*ROUTES.setdefault("all", [*app.router.routes])]
    app.state.storage.prepare()
    for engine in (app.state.database.writer, app.state.database.reader):
        engine._compiled_cache = COMPILED
    yield app
    app.state.database.close()


@pytest.fixture
def database(app: FastAPI) -> Database:
    """Return the application's database."""
    found: Database = app.state.database
    return found


@pytest.fixture
def bell(app: FastAPI, settings: Settings) -> Bellringer:
    """Replace the application's doorbell with one that only records its rings."""
    bell = Bellringer(settings)
    app.state.doorbell = bell
    return bell


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Return a client of the application."""
    # Not entered as a context manager, which would start the lifespan.
    client = TestClient(app, base_url=BASE_URL)
    # Without a portal, the client would start a thread and an event loop for each request.
    with start_blocking_portal() as client.portal:
        yield client
    client.close()


@pytest.fixture
def player(client: TestClient) -> Player:
    """Return a player that acts as users and workers."""
    return Player(client)
