"""How tests are distributed over several processes: which ones stay together, and which run first."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no type hints

FIRST = ("tests/faults", "tests/e2e", "tests/web", "tests/examples", "tests/cli", "tests/worker")
"""The directories with the slowest tests. They run first, so that no slow test still runs at the end while other processes are idle."""


def longest_first(items: list[pytest.Item]) -> None:
    """Sort the tests by directory, those of FIRST before all others."""
    items.sort(key=lambda item: _rank(item.nodeid))


def unit_of(nodeid: str) -> str:
    """Return the name of the unit that a test belongs to. One process runs a unit from start to end.

    A unit is a file, unless files share something that is slow to start: the tests of the web page
    share a service with its jobs, and the fault tests share one cluster per database.
    """
    if nodeid.startswith("tests/web/"):
        return "tests/web"
    if nodeid.startswith("tests/faults/"):
        return "tests/faults on " + ("postgresql" if "postgresql" in nodeid else "sqlite")
    return nodeid.split("::", 1)[0]


def _rank(nodeid: str) -> int:
    ranks = [number for number, directory in enumerate(FIRST) if nodeid.startswith(directory)]
    return ranks[0] if ranks else len(FIRST)


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no type hints
    """Hands out whole units, in collection order."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
