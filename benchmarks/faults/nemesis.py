"""The nemesis injects faults; a seed determines which, when, and for how long.

Every fault is real: a signal, a cut connection, a restarted process. The nemesis repairs each fault before the next.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from redis import Redis
from redis.exceptions import RedisError

from tests.faults.harness.cluster import Cluster
from tests.programs.processes import find_trainings

KINDS = (
    "kill_child",
    "kill_pool",
    "kill_worker",
    "suspend_worker",
    "partition",
    "late_delivery",
    "lost_replies",
    "kill_api",
    "restart_api",
    "kill_broker",
    "flush_broker",
    "skewed_worker",
)
ON_POSTGRESQL = ("crash_database", "cut_database")
SKEWS_SECONDS = (3600, -3600, 0)


class Nemesis:
    """Injects one fault after another into a cluster.

    Use it only from the main thread, because the kernel kills each process when the thread that started it exits.
    """

    def __init__(
        self, cluster: Cluster, workers: list[str], seed: int, kinds: Sequence[str] = ()
    ) -> None:
        on_postgresql = ON_POSTGRESQL if cluster.postgres is not None else ()
        self._all_kinds = kinds or [*KINDS, *on_postgresql]
        self._cluster = cluster
        self._workers = workers
        self._random = random.Random(seed)  # noqa: S311  # must be reproducible, not secure
        self._kinds: list[str] = []
        self._outages: list[float] = []
        self.faults: Counter[str] = Counter()

    def strike(self) -> str | None:
        """Inject and repair the next fault that has a target; return its kind. All kinds occur equally often."""
        if not self._kinds:
            self._kinds = list(self._all_kinds)
            self._random.shuffle(self._kinds)
        for kind in self._kinds:
            action: Callable[[], bool] = getattr(self, f"_{kind}")
            if action():
                self._kinds.remove(kind)
                self.faults[kind] += 1
                return kind
        return None

    def pauses(self, mean_seconds: float) -> Iterator[float]:
        """Yield the seconds to wait between faults."""
        while True:
            yield self._random.uniform(0.2, 1.8) * mean_seconds

    # Workers

    def _kill_child(self) -> bool:
        worker = self._busy_worker()
        training = worker and self._cluster.find_training(worker)
        if not training:
            return False
        os.kill(training, signal.SIGKILL)
        return True

    def _kill_pool(self) -> bool:
        worker = self._busy_worker()
        if worker is None:
            return False
        os.kill(self._cluster.pool_process(worker), signal.SIGKILL)
        return True

    def _kill_worker(self, **settings: str) -> bool:
        worker = self._busy_worker()
        if worker is None:
            return False
        os.kill(self._cluster.parts[worker].pid, signal.SIGKILL)
        self._cluster.parts[worker].stop(lambda: True)
        self._cluster.start_worker(worker, **settings)
        return True

    def _skewed_worker(self) -> bool:
        worker = self._random.choice(self._workers)
        os.kill(self._cluster.parts[worker].pid, signal.SIGKILL)
        self._cluster.parts[worker].stop(lambda: True)
        self._cluster.start_skewed_worker(worker, self._random.choice(SKEWS_SECONDS))
        return True

    def _suspend_worker(self) -> bool:
        worker = self._busy_worker()
        if worker is None:
            return False
        with self._cluster.cut_off(worker):
            self._cluster.suspend(worker)
            self._sleep(self._outage_seconds())
            self._cluster.resume(worker)
        return True

    # Network

    def _partition(self) -> bool:
        return self._cut_off(self._random.choice(["refuse", "reset"]))

    def _late_delivery(self) -> bool:
        return self._cut_off("blackhole")

    def _cut_off(self, mode: str) -> bool:
        worker = self._busy_worker()
        if worker is None:
            return False
        with self._cluster.cut_off(worker):
            self._cluster.links[worker].set(mode)
            self._sleep(self._outage_seconds())
            self._cluster.links[worker].set("pass")
        return True

    def _lost_replies(self) -> bool:
        for link in self._cluster.links.values():
            for pattern in (b"/claim", b"/sync", b"/artifacts/", b"/finish"):
                link.drop_replies(pattern)
        return True

    # Servers

    def _kill_api(self) -> bool:
        if self._busy_worker() is None:
            return False
        self._cluster.stop("api", signal.SIGKILL)
        self._sleep(self._random.uniform(0, 3))
        self._cluster.start_api()
        return True

    def _restart_api(self) -> bool:
        self._cluster.restart_api(signal.SIGTERM)
        return True

    def _kill_broker(self) -> bool:
        self._cluster.stop("broker", signal.SIGKILL)
        self._sleep(self._random.uniform(0, 3))
        self._cluster.start_broker()
        return True

    def _flush_broker(self) -> bool:
        try:
            with Redis(port=self._cluster.broker_link.port) as redis:
                redis.flushall()
        except RedisError:
            return False
        return True

    def _crash_database(self) -> bool:
        postgres = self._cluster.postgres
        assert postgres is not None
        postgres.stop(signal.SIGQUIT)
        self._sleep(self._random.uniform(0, 2))
        postgres.start()
        return True

    def _cut_database(self) -> bool:
        link = self._cluster.database_link
        assert link is not None
        link.set(self._random.choice(["refuse", "reset", "blackhole"]))
        self._sleep(self._random.uniform(0.5, 3))
        link.set("pass")
        return True

    def repair(self) -> None:
        """Restart every stopped process and restore every link, so that the remaining jobs can end."""
        cluster = self._cluster
        with ExitStack() as cleanup:
            if cluster.postgres is not None and not cluster.postgres.is_running:
                cluster.postgres.start()
            if not cluster.parts["broker"].is_running:
                cluster.start_broker()
            if not cluster.parts["api"].is_running:
                cluster.start_api()
            for link in cluster.all_links():
                cleanup.callback(link.set, "pass")
                link.forget()
        for worker in self._workers:
            if not cluster.parts[worker].is_running:
                cluster.start_worker(worker)
            cluster.resume(worker)

    # Target and duration

    def _busy_worker(self) -> str | None:
        """Return a worker whose attempt is past its first checkpoint, if there is one."""
        checkpointed = self._cluster.watch.checkpointed()
        busy = sorted(
            {
                training.worker
                for training in find_trainings(self._cluster.runs).values()
                if training.attempt_id in checkpointed and training.worker in self._workers
            }
        )
        return self._random.choice(busy) if busy else None

    def _outage_seconds(self) -> float:
        """Return the outage length in seconds; one outage in three exceeds the takeover time."""
        if not self._outages:
            self._outages = [0.1, 0.3, 1.3]
            self._random.shuffle(self._outages)
        return self._outages.pop() * float(self._cluster.environment["STEPLINE_TAKEOVER_SECONDS"])

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)
