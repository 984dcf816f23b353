"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.programs.postgres import Postgres, running_postgres
from tests.programs.server_process import migrated
from tests.units import IS_SLOW, UnitScheduling, slowest_first

# No test depends on a duration: on a loaded machine, Hypothesis takes seconds to prepare its first example.
settings.register_profile("stepline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stepline")

# So that a failed assertion in these checks shows its values.
pytest.register_assert_rewrite("tests.openai.checks")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> UnitScheduling:
    """Distribute the tests by the units that tests/units.py defines."""
    return UnitScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest tests first, and store which tests are slow before `-m` and `-k` remove any."""
    slowest_first(items)
    config.stash[IS_SLOW] = {
        item.nodeid.removeprefix("tests/"): item.get_closest_marker("slow") is not None
        for item in items
    }


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session; each test uses its own database."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one tiny Qwen2 for the whole session. Tests that change its files copy it."""
    from tests.tiny_model import make_tiny_qwen2  # noqa: PLC0415  # most tests do without torch

    return make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny-qwen2")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a new, migrated SQLite database."""
    return migrated(tmp_path)
