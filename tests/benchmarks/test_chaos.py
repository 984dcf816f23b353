"""The chaos benchmark passes the real build and catches each deliberately broken one."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BUILDS = {
    "early_ack": ("points_lost", "kill_api,restart_api,kill_child"),
    "no_fence": ("jobs_run_twice", "suspend_worker,partition,late_delivery"),
    "no_spool": ("points_lost", "kill_api,restart_api,lost_replies,partition"),
}
"""The promise that each build breaks, and the faults that expose it. The nemesis injects only these, so a short run is enough."""


def run_chaos(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, found


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("build", BUILDS)
def test_a_broken_build_is_caught(build: str, seed: int) -> None:
    promise, kinds = BUILDS[build]

    code, found = run_chaos(
        *("--minutes", "0.6", "--workers", "2", "--steps", "120"),
        *("--build", build, "--kinds", kinds, "--seed", str(seed)),
    )

    assert code == 1
    assert found[promise] > 0, found


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_promise_holds_during_two_minutes_of_chaos(database: str) -> None:
    code, found = run_chaos("--minutes", "2", "--seed", "7", "--database", database)

    assert code == 0, found
    assert len(found["faults"]) >= 10
    assert found["adapters_compared"] > 0
