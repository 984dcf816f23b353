"""Fixtures for every room of tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db import Database
from app.migrate import migrate
from tests.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session; each test takes a database of its own."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a migrated SQLite database of its own."""
    url = f"sqlite:///{tmp_path}/stepline.db"
    database = Database(url)
    migrate(database)
    database.close()
    return url
