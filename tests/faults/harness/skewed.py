"""Runs a module in a process with a wrong wall clock: `python -m tests.faults.harness.skewed SECONDS MODULE …`.

No library can skew the clock of a Python process from outside, so this module replaces the functions that read the wall
clock: time.time, the datetime class that Celery uses, and contracts.base.utc_now, which all Stepline code uses.
"""

import datetime as dt
import runpy
import sys
import time
from typing import Any


def skew(seconds: float) -> None:
    """Shift the wall clock of this process. Call it before importing modules that read the clock."""
    offset = dt.timedelta(seconds=seconds)
    true_time = time.time

    class Skewed(dt.datetime):
        """A datetime whose clock is wrong."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            """Return the wrong time as an ordinary datetime."""
            return dt.datetime.now(tz) + offset

    time.time = lambda: true_time() + seconds

    from celery.app import base as celery_base  # noqa: PLC0415  # after the clock is shifted
    from celery.worker import request  # noqa: PLC0415

    from contracts import base  # noqa: PLC0415

    celery_base.datetime = request.datetime = Skewed
    base.utc_now = lambda: Skewed.now(dt.UTC)


if __name__ == "__main__":
    skew(float(sys.argv[1]))
    module = sys.argv[2]
    sys.argv = [sys.argv[0], *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
