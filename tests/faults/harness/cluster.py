"""Cluster: a complete Stepline with fault proxies between its parts, observed from outside. Times are 1/20 of production's.

    worker ──link──► API ──database_link──► PostgreSQL          API, workers ──broker_link──► Valkey

Every worker has its own link. `verdict()` waits until all jobs have ended and runs the checker on the observations.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from cli.part import Part
from tests.e2e.service import FINAL, Service, wait_for
from tests.faults.harness.checker import Verdict, check
from tests.faults.harness.history import Cut, History
from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.watch import Watch
from tests.programs.postgres import Postgres
from tests.programs.processes import children_of, find_processes, find_trainings

TWENTIETH = {
    "STEPLINE_FLUSH_SECONDS": "0.05",
    "STEPLINE_SYNC_SECONDS": "0.5",
    "STEPLINE_LEASE_SECONDS": "2.25",
    "STEPLINE_TAKEOVER_SECONDS": "9",
    "STEPLINE_SWEEP_SECONDS": "0.5",
    "STEPLINE_RING_SECONDS": "1.5",
    "STEPLINE_RETRY_SECONDS": "0.5",
    "STEPLINE_HELLO_SECONDS": "1",
    "STEPLINE_CONTROL_SECONDS": "1.5",
    "STEPLINE_TERM_SECONDS": "10",
    "STEPLINE_PATIENCE_SECONDS": "4320",
    "STEPLINE_CLAIM_PATIENCE_SECONDS": "2",
}
"""The time allowed after SIGTERM is more than 1/20, because a machine under load needs that long to save a checkpoint."""


class Cluster(Service):
    """A Service with a fault proxy on every connection, and a Watch."""

    def __init__(self, directory: Path, postgres: Postgres | None = None, **settings: str) -> None:
        self.postgres = postgres
        self.database_name = postgres.create_database() if postgres else None
        super().__init__(directory, None, **(TWENTIETH | settings))
        self.broker_link = FaultProxy(self._socket)
        self.broker_url = f"redis://127.0.0.1:{self.broker_link.port}/0"
        self.database_link: FaultProxy | None = None
        direct_url = self.environment["STEPLINE_DATABASE_URL"]
        if postgres is not None:
            self.database_link = FaultProxy(postgres.socket)
            direct_url = postgres.url(self.database_name or "")
            self.environment["STEPLINE_DATABASE_URL"] = (
                f"postgresql+psycopg://postgres@127.0.0.1:{self.database_link.port}/{self.database_name}"
            )
        self.environment["STEPLINE_BROKER_URL"] = self.broker_url
        self.links: dict[str, FaultProxy] = {}
        self.runs = directory / "work" / "runs"
        self.watch = Watch(self.runs, directory / "records", direct_url)
        self.cuts: list[Cut] = []
        self.acknowledged: list[str] = []
        self.expected: dict[str, str] = {}
        self._last_verdict = Verdict()

    def __enter__(self) -> Self:
        super().__enter__()
        self.watch.start()
        return self

    def __exit__(self, *arguments: object) -> None:
        if self.watch.is_running:
            self.watch.stop()
        super().__exit__(*arguments)
        for link in self.all_links():
            link.close()
        if self.postgres is not None and self.database_name is not None:
            self.postgres.drop_database(self.database_name)

    def start_worker(self, name: str = "worker", **settings: str) -> Part:
        """Start a worker that reaches the API through its own link."""
        if name not in self.links:
            self.links[name] = FaultProxy(("127.0.0.1", self.port))
        through_link = {"STEPLINE_SERVER_URL": f"http://127.0.0.1:{self.links[name].port}"}
        return super().start_worker(name, **(through_link | settings))

    def start_skewed_worker(self, name: str, seconds: float) -> None:
        """Start a worker whose wall clock is off by this many seconds."""
        normal_program = self.worker_program
        self.worker_program = (
            "-m",
            "tests.faults.harness.skewed",
            str(seconds),
            *normal_program[1:],
        )
        try:
            self.start_worker(name)
        finally:
            self.worker_program = normal_program

    # Actions of a user

    def post_job(self, **spec: Any) -> str:
        """Submit a job and remember that it was acknowledged."""
        job_id = super().post_job(**spec)
        self.acknowledged.append(job_id)
        return job_id

    def cancel(self, job_id: str, seconds: float = 30) -> Any:
        """Cancel a job and expect it to end as cancelled."""
        self.expected[job_id] = "cancelled"
        return super().cancel(job_id, seconds)

    # Helpers for faults

    def pool_process(self, name: str = "worker") -> int:
        """Return the pid of a worker's pool process, which supervises its training."""
        [pid] = children_of(self.parts[name].pid)
        return pid

    def find_training(self, name: str = "worker") -> int | None:
        """Return the pid of a worker's training process, or None if the worker has none."""
        found = [pid for pid, each in find_trainings(self.runs).items() if each.worker == name]
        return found[0] if found else None

    @contextmanager
    def cut_off(self, *names: str) -> Iterator[None]:
        """Mark these workers as cut off during the block, when they cannot learn that they are superseded."""
        began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self.cuts += [Cut(name, began, now) for name in names]

    def attempts(self, job_id: str) -> list[Any]:
        """Return the job's attempts as users see them, ordered by number."""
        found = self.get(f"/v1/jobs/{job_id}/attempts")["data"]
        return sorted(found, key=lambda attempt: int(attempt["number"]))

    # Results

    def verdict(self, seconds: float = 90) -> Verdict:
        """Wait until every acknowledged job has ended, and check all observations so far."""
        self._last_verdict = check(self.history(seconds))
        return self._last_verdict

    def describe(self) -> str:
        """Return the checker's findings and the end of each log, for the message of a failed test."""
        return f"{self._last_verdict}\n{self.logs()}"

    def history(self, seconds: float = 90, *, until_one_fails: bool = False) -> History:
        """Wait until all jobs have ended and return the history.

        `until_one_fails` ends the wait as soon as a job has ended with an unexpected status, because that status is final.
        """
        for link in self.all_links():
            link.set("pass")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = {job_id: self.job(job_id)["status"] for job_id in self.acknowledged}
            if until_one_fails and any(
                status in FINAL and status != self.expected.get(job_id, "succeeded")
                for job_id, status in found.items()
            ):
                break
            if set(found.values()) <= set(FINAL):
                wait_for(lambda: not find_trainings(self.runs), 15, self.logs)
                break
            time.sleep(0.2)
        self.watch.look()
        return History(
            acknowledged=list(self.acknowledged),
            expected=dict(self.expected),
            produced=self.watch.produced(),
            sightings=list(self.watch.sightings),
            observations=list(self.watch.observations),
            cuts=list(self.cuts),
            jobs=[replace(job, curve=self._curve(job.id)) for job in self.watch.read_jobs()],
            attempts=self.watch.read_attempts(),
            strays=self._strays(),
        )

    def _curve(self, job_id: str) -> tuple[int, ...]:
        return tuple(point["step"] for point in self.losses(job_id))

    def _strays(self) -> list[str]:
        """Return the processes that belong to none of the started parts."""
        known = {part.pid for part in self.parts.values() if part.is_running}
        known |= {child for pid in set(known) for child in children_of(pid)}
        found = find_processes(self.mark, self.directory)
        return [command for pid, command in found.items() if pid not in known]

    def all_links(self) -> Iterable[FaultProxy]:
        """Return every proxy of this cluster."""
        return [
            *self.links.values(),
            self.broker_link,
            *([self.database_link] if self.database_link is not None else []),
        ]

    def all_processes_of(self, name: str) -> list[int]:
        """Return the pids of a worker's main process and of its pool and training processes if they are alive."""
        main = self.parts[name].pid
        trainings = [pid for pid, each in find_trainings(self.runs).items() if each.worker == name]
        return [main, *children_of(main), *trainings]

    def suspend(self, name: str) -> None:
        """Suspend a worker and its training, like a host that hangs."""
        for pid in self.all_processes_of(name):
            os.kill(pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Resume a suspended worker."""
        for pid in self.all_processes_of(name):
            os.kill(pid, signal.SIGCONT)

    def restart_api(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Stop the API and start it again on the same port."""
        self.stop("api", number)
        self.start_api()


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
