"""Fixtures for every room of tests."""

from collections.abc import Iterator

import pytest

from tests.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session; each test takes a database of its own."""
    with running_postgres() as server:
        yield server
