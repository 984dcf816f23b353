"""The points that the history benchmark writes to Stepline and to MLflow, and its timing functions."""

import contextlib
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

SERIES = ("loss", "learning_rate", "grad_norm", "epoch", "tokens", "seconds")
PLOT_POINTS = 1000


def values_at(step: int) -> dict[str, float]:
    """Return the six values of a step."""
    rng = random.Random(step)  # noqa: S311  # not for secrets
    values = [2 + rng.random(), 2e-4 * rng.random(), rng.random(), step / 1e6, 120.0, 0.25]
    return dict(zip(SERIES, values, strict=True))


def timed(action: Callable[[], bytes], times: int) -> tuple[dict[str, float], int]:
    """Repeat a call; return its times in milliseconds and the length of its response."""
    size = len(action())
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return {
        "median_ms": round(statistics.median(taken), 2),
        "p95_ms": round(taken[int(len(taken) * 0.95)], 2),
    }, size


def wait_for(is_up: Callable[[], bool], log: Path) -> None:
    """Wait until a server responds."""
    deadline = time.monotonic() + 180
    while True:
        with contextlib.suppress(httpx2.TransportError):
            if is_up():
                return
        if time.monotonic() > deadline:
            raise SystemExit(log.read_text()[-4000:])
        time.sleep(0.1)
