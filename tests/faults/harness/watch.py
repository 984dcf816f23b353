"""Watch: observes a running service from outside.

A thread records which training processes are alive and the database row of each attempt. It hard-links every
records.jsonl, so that the file still exists after its run directory is deleted.
"""

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from app.db.tables import Attempt, Event, Job, Record
from tests.faults.harness.history import (
    AttemptRow,
    JobRow,
    Observation,
    Point,
    Sighting,
    read_points,
)
from tests.programs.processes import find_trainings

LOOK_SECONDS = 0.1
FINAL_EVENTS = ("job_succeeded", "job_failed", "job_cancelled")


class Watch:
    """Observes about ten times a second, from `start` to `stop`."""

    def __init__(self, runs: Path, archive: Path, database_url: str) -> None:
        self._runs = runs
        self._archive = archive
        self._engine = _reader(database_url)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
        self.sightings: list[Sighting] = []
        self.observations: list[Observation] = []
        archive.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._engine.dispose()

    def produced(self) -> dict[str, list[Point]]:
        """Return the complete records of every attempt that began to train."""
        return {path.name: read_points(path.read_bytes()) for path in self._archive.iterdir()}

    def checkpointed(self) -> set[str]:
        """Return the attempts that now have a complete checkpoint on their worker's disk."""
        found = self._runs.glob("*/att_*/checkpoints/step-*/manifest.json")
        return {path.parents[2].name for path in found if path.parent.suffix != ".tmp"}

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Observe once."""
        self._keep_records()
        now = time.monotonic()
        for pid, training in find_trainings(self._runs).items():
            self.sightings.append(
                Sighting(now, pid, training.worker, training.attempt_id, training.is_stopped)
            )
        with contextlib.suppress(SQLAlchemyError), self._engine.connect() as connection:
            rows = connection.execute(
                select(Attempt.id, Attempt.status, Attempt.acked_seq, Attempt.seen_seq)
            )
            for attempt_id, status, acked, seen in rows:
                self.observations.append(Observation(now, attempt_id, status.value, acked, seen))

    def _keep_records(self) -> None:
        for path in self._runs.glob("*/att_*/records.jsonl"):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(path, self._archive / path.parent.name)

    # Results

    def read_jobs(self) -> list[JobRow]:
        """Return all jobs as stored, without the curves that users see."""
        with self._engine.connect() as connection:
            ends: dict[str, int] = {}
            chosen = select(Event.job_id).where(Event.code.in_(FINAL_EVENTS))
            for (job_id,) in connection.execute(chosen):
                ends[job_id] = ends.get(job_id, 0) + 1
            rows = connection.execute(select(Job.id, Job.status, Job.failure, Job.total_steps))
            return [
                JobRow(
                    id=job_id,
                    status=status.value,
                    error=_reason(failure),
                    ends=ends.get(job_id, 0),
                    total_steps=total_steps,
                )
                for job_id, status, failure, total_steps in rows
            ]

    def read_attempts(self) -> list[AttemptRow]:
        """Return all attempts with their stored records."""
        stored: dict[str, list[Point]] = {}
        with self._engine.connect() as connection:
            chosen = select(Record.attempt_id, Record.seq, Record.type, Record.step, Record.data)
            for attempt_id, seq, kind, step, data in connection.execute(
                chosen.order_by(Record.seq)
            ):
                point = Point.stored({"seq": seq, "type": kind, "step": step} | data)
                stored.setdefault(attempt_id, []).append(point)
            rows = connection.execute(select(*Attempt.__table__.columns)).mappings().all()
        return [
            AttemptRow(
                id=row["id"],
                job_id=row["job_id"],
                number=row["number"],
                worker=row["worker_id"],
                status=row["status"].value,
                started_at=row["started_at"],
                synced_at=row["synced_at"],
                ended_at=row["ended_at"],
                acked_seq=row["acked_seq"],
                reason=_reason((row["outcome"] or {}).get("failure")),
                stored=tuple(stored.get(row["id"], ())),
            )
            for row in rows
        ]


def _reader(database_url: str) -> Engine:
    if database_url.startswith("sqlite:///"):
        path = database_url.removeprefix("sqlite:///")
        database_url = f"sqlite:///file:{path}?mode=ro&uri=true"
    return create_engine(database_url, pool_size=1, max_overflow=0)


def _reason(failure: dict[str, Any] | None) -> str | None:
    return None if failure is None else str(failure.get("reason"))
