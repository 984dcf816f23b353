"""Waits for a condition, for tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 180.0
"""How long a test waits before it fails. Much longer than anything takes, even a process of low priority on a busy machine."""


def wait_for(
    find: Callable[[], T],
    evidence: Callable[[], object] = lambda: "it took too long",
    seconds: float = PATIENCE_SECONDS,
    interval_seconds: float = 0.01,
) -> T:
    """Call `find` until its result is true; return the result. After `seconds`, raise AssertionError with the evidence."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, evidence()
        time.sleep(interval_seconds)
    return found
