"""The distribution of tests over several processes: which tests stay together, and which run at the same time."""

import pytest

WAITING = (
    "tests/web",
    "tests/faults",
    "tests/worker/training/ranks",
    "tests/e2e",
    "tests/worker/training/test_program.py",
    "tests/examples",
    "tests/cli",
    "tests/worker/supervisor",
)
"""Tests that mostly wait for other processes, for leases and for timers; the slowest first. All other tests mostly compute."""


def slowest_first(items: list[pytest.Item]) -> None:
    """Sort the tests by directory, with those of WAITING first, to keep slow tests from starting at the end."""
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
    ranks = [number for number, prefix in enumerate(WAITING) if nodeid.startswith(prefix)]
    return ranks[0] if ranks else len(WAITING)


class Queue:
    """The tests that no process has received yet, as indexes into the list of all tests, in units."""

    def __init__(self, nodeids: list[str]) -> None:
        self._units: dict[str, list[int]] = {}
        for index, nodeid in enumerate(nodeids):
            self._units.setdefault(unit_of(nodeid), []).append(index)

    def take(self, *, computing: bool = False) -> list[int]:
        """Return the tests of the next unit, or none at the end. With `computing`, prefer a unit that mostly computes.

        Every second process starts with one. Otherwise, all processes would first wait while the cores are idle, and
        later compete for the cores.
        """
        names = [*self._units]
        if computing:
            names.sort(key=lambda unit: _rank(unit) != len(WAITING))
        return self._units.pop(names[0]) if names else []

    def give_back(self, tests: list[int]) -> None:
        """Put tests that a process did not run at the front of the queue."""
        self._units = {f"given back from test {tests[0]} on": tests, **self._units}

    def clear(self) -> None:
        """Remove all tests."""
        self._units.clear()
