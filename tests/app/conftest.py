"""Fixtures for the server's tests: both databases, a client, and a player that acts as users and workers over HTTP."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from app.config.settings import Settings
from app.db.engine import Database
from app.main import create_app
from app.migrate import migrate
from tests.app.bellringer import Bellringer
from tests.app.player import BASE_URL, TOKEN, Player
from tests.programs.postgres import Postgres

# Plain tracebacks: the pretty ones show every local variable and take seconds.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
)

ROUTES: dict[str, list[BaseRoute]] = {}
"""The routes of this process's first application, which all its later applications share."""

KINDS = ("sqlite", "postgresql")


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
    # FastAPI analyses each route of each application at its first request, a fifth of these tests' time.
    app.router.routes = [*ROUTES.setdefault("all", [*app.router.routes])]
    app.state.storage.prepare()
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
