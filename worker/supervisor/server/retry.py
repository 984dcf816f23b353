"""Retries a call until the server responds.

If the server is unreachable, the call is retried with growing, jittered pauses, within a time limit. A call that
the server rejects is not retried. answers.py distinguishes the two cases.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from worker.supervisor.server.answers import Refused, ServerUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
ERROR_TRIES = 5
"""After this many responses with status 500, a call fails."""


@dataclass(frozen=True)
class Policy:
    """How long to retry a call, and how long to wait between tries."""

    patience_seconds: float
    """Maximum time between the first try and the last."""
    longest_pause_seconds: float
    wait: Callable[[float], None]


def retry(action: Callable[[], T], policy: Policy) -> T:
    """Return the action's result. Raises Refused immediately, and ServerUnavailable once the time limit is reached.

    A response with status 500 raises Refused too, but may be temporary, so it is retried a few times.
    """
    give_up_at = time.monotonic() + policy.patience_seconds
    pause, errors, is_logged = FIRST_PAUSE_SECONDS, 0, False
    while True:
        try:
            return action()
        except ServerUnavailable as error:
            if time.monotonic() >= give_up_at:
                raise
            if not is_logged:
                log.warning("the server is unreachable; retrying", reason=str(error))
                is_logged = True
            shortest = error.retry_after_seconds
        except Refused as refusal:
            errors += 1
            if refusal.status != 500 or errors >= ERROR_TRIES:
                raise
            shortest = 0.0
        jittered = pause * random.uniform(0.75, 1.25)  # noqa: S311  # spreads the load; not for security
        policy.wait(min(max(shortest, jittered), max(0.0, give_up_at - time.monotonic())))
        pause = min(pause * 2, policy.longest_pause_seconds)
