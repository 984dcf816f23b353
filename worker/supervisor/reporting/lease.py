"""When to sync.

A holder that cannot reach the server goes on: its records wait on disk, and its token makes it harmless once
another attempt has taken over. So this module paces the calls and never stops an attempt by itself.
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
        self._tried_at = clock()  # a claim is a first sync
        self._failures = 0
        self._delay = 0.0

    def is_due(self, has_news: bool) -> bool:
        """Whether to sync now: soon if there is news, else by the slow beat; after failures with growing pauses."""
        waited = self._clock() - self._tried_at
        if self._failures:
            return waited >= self._delay
        return waited >= (self._flush_seconds if has_news else self._sync_seconds)

    def trying(self) -> None:
        """Note that a sync begins."""
        self._tried_at = self._clock()

    def renewed(self) -> None:
        """Note that the sync begun last was answered."""
        self._failures = 0

    def failed(self) -> None:
        """Note that the sync begun last was not answered: wait a little longer each time, up to the slow beat."""
        self._failures += 1
        pause = min(self._sync_seconds, self._flush_seconds * 2 ** min(self._failures, 10))
        self._delay = pause * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, guards nothing
