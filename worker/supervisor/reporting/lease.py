"""Decides when to sync.

A worker that cannot reach the server keeps training: its records stay on disk, and the server rejects its token once
another attempt has taken over. This module therefore only paces the calls and never stops an attempt.
"""

import random
from collections.abc import Callable

from worker.supervisor.host.clock import boottime


class Lease:
    """Paces the syncs of one attempt. Times are in seconds."""

    def __init__(
        self,
        sync_seconds: float,
        flush_seconds: float,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._sync_seconds = sync_seconds
        self._flush_seconds = flush_seconds
        self._clock = clock
        self._tried_at = clock()  # a claim counts as the first sync
        self._failures = 0
        self._delay = 0.0

    def is_due(self, has_news: bool) -> bool:
        """Return whether a sync is due.

        A sync is due after the short interval if there is new data, otherwise after the long one. The interval
        grows after failures.
        """
        waited = self._clock() - self._tried_at
        if self._failures:
            return waited >= self._delay
        return waited >= (self._flush_seconds if has_news else self._sync_seconds)

    def trying(self) -> None:
        """Record that a sync begins."""
        self._tried_at = self._clock()

    def renewed(self) -> None:
        """Record that the last sync got a response."""
        self._failures = 0

    def failed(self) -> None:
        """Record that the last sync got no response: wait longer each time, up to about the long interval."""
        self._failures += 1
        pause = min(self._sync_seconds, self._flush_seconds * 2 ** min(self._failures, 10))
        self._delay = pause * random.uniform(0.75, 1.25)  # noqa: S311  # spreads the load; not for security
