"""Limits that the kernel enforces on the child process."""

import contextlib
import math
import resource
from pathlib import Path

from app.datasets.conversion.request import Limits

GRACE_SECONDS = 5
"""Extra CPU time between SIGXCPU and SIGKILL."""


def confine(limits: Limits) -> None:
    """Limit this process's memory, CPU time and file size. Linux only."""
    seconds = math.ceil(limits.seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + GRACE_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    # A backstop for the budget of unpacked bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * limits.unpacked_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # If the machine runs out of memory, the kernel kills this process rather than the server.
        Path("/proc/self/oom_score_adj").write_text("1000")
