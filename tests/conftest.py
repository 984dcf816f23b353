"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.lanes import run_in_lanes
from tests.programs.postgres import Postgres, running_postgres
from tests.programs.server_process import migrated
from tests.units import slowest_first

# No test depends on a duration: on a loaded machine, Hypothesis takes seconds to prepare its first example.
settings.register_profile("stepline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stepline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option to run the tests in several processes."""
    parser.addoption("--lanes", type=int, default=1, help="run the tests in this many processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in several processes if requested; otherwise leave them to pytest."""
    count = session.config.getoption("--lanes")
    if count < 2 or session.testsfailed or session.config.option.collectonly:
        return None
    run_in_lanes(session, count)
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest tests first."""
    slowest_first(items)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session; each test uses its own database."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a new, migrated SQLite database."""
    return migrated(tmp_path)
