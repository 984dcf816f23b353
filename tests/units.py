"""The distribution of tests over several processes: which tests stay together, and which run at the same time."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no type hints

WAITING = (
    "tests/web",
    "tests/faults",
    "tests/worker/training/ranks",
    "tests/e2e",
    "tests/stepline/service",
    "tests/openai",
    "tests/worker/training/test_program.py",
    "tests/examples",
    "tests/cli",
    "tests/worker/supervisor",
)
"""Tests that mostly wait for other processes, for leases and for timers; the slowest first. All other tests mostly compute."""

IS_SLOW = pytest.StashKey[dict[str, bool]]()
"""For each collected test, by its id without `tests/`: whether it runs only with --slow."""


def slowest_first(items: list[pytest.Item]) -> None:
    """Sort the tests by directory, with those of WAITING first, to keep slow tests from starting at the end."""
    items.sort(key=lambda item: _rank(item.nodeid))


def unit_of(nodeid: str) -> str:
    """Return the name of the unit that a test belongs to. One process runs a unit from start to end.

    A unit is a file, unless files share something that is slow to start: the tests of the web page and those of the
    clients share a service with its jobs, and the fault tests share one cluster per database.
    """
    for shared in ("tests/web", "tests/openai", "tests/stepline/service"):
        if nodeid.startswith(f"{shared}/"):
            return shared
    if nodeid.startswith("tests/faults/"):
        return "tests/faults on " + ("postgresql" if "postgresql" in nodeid else "sqlite")
    return nodeid.split("::", 1)[0]


def _rank(nodeid: str) -> int:
    ranks = [number for number, prefix in enumerate(WAITING) if nodeid.startswith(prefix)]
    return ranks[0] if ranks else len(WAITING)


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no type hints
    """Hands out whole units, in collection order.

    Every second process prefers the units that mostly compute. Otherwise, all processes would first wait while the cores are
    idle, and later compete for the cores.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        if self.nodes.index(node) % 2:
            computing = (unit for unit in self.workqueue if _rank(unit) == len(WAITING))
            first = next(computing, None)
            if first is not None:
                self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)
