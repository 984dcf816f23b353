"""Leaves a job that requests all GPUs to a larger host for a while, because it would use fewer on a smaller host.

The wait begins when a smaller host first asks for the job. It ends after reservations.FIRST_SECONDS or, if a larger
host has been reserved for the job by then, with that reservation. The job therefore starts even if no larger host
becomes free.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs.queue.reservations import FIRST_SECONDS, LargeJob
from app.workers import service as workers
from contracts.job import JobStatus


class Left(NamedTuple):
    """The jobs requesting all GPUs that a claim leaves to larger hosts: all of them, or those for certain models."""

    is_everything: bool = False
    models: tuple[str, ...] = ()


NOTHING = Left()


def find_left(session: Session, job: LargeJob, host_id: str, cards: int, now: datetime) -> Left:
    """Return what a host with this many GPUs leaves to larger hosts; NOTHING if it may start this job itself."""
    if job.most_gpus <= cards or job.reserved_host == host_id:
        return NOTHING
    is_open = job.reserved_host is None or _has_passed(job.reserved_until, now)
    if is_open and _has_passed(job.larger_until, now):
        return NOTHING
    larger = [
        worker
        for worker in workers.list_live(session, job.queue, now)
        if workers.is_able(worker) and worker.host_id not in {"", host_id} and worker.cards > cards
    ]
    if any(worker.models is None for worker in larger):
        return Left(is_everything=True)
    models = {model for worker in larger for model in worker.models or []}
    return Left(models=tuple(sorted(models))) if job.model in models else NOTHING


def leave(session: Session, job: LargeJob, now: datetime) -> bool:
    """Store until when the job is left to larger hosts. Return False if a time is already stored or the job is not queued."""
    waits = (Job.number == job.number, Job.status == JobStatus.QUEUED, Job.larger_until.is_(None))
    changed = session.execute(
        update(Job)
        .where(*waits)
        .values(larger_until=now + timedelta(seconds=FIRST_SECONDS), version=Job.version + 1)
        .returning(Job.number)
        .execution_options(synchronize_session=False)
    ).first()
    return changed is not None


def _has_passed(until: datetime | None, now: datetime) -> bool:
    return until is not None and until <= now
