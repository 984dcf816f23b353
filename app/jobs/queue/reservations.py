"""Hosts that are reserved for queued jobs on several GPUs. A start, pause, cancel or failure of the job ends its reservation too."""

from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs.queue import order as queue
from app.workers import service as workers
from contracts.attempt import WorkerInfo
from contracts.job import JobStatus


def reserve(session: Session, number: int, host_id: str) -> bool:
    """Reserve a host for a job, and end the host's other reservations. Return False if the job is no longer free."""
    is_free = (Job.number == number, Job.status == JobStatus.QUEUED, Job.reserved_host.is_(None))
    if not _change(session, host_id, *is_free):
        return False
    _change(session, None, Job.reserved_host == host_id, Job.number != number)
    return True


def end_unusable(session: Session, now: datetime) -> list[str]:
    """End the reservations of hosts that cannot run the job any more. Return each queue once for each ring that it needs."""
    to_ring: list[str] = []
    for job in session.scalars(select(Job).where(Job.reserved_host.is_not(None))).all():
        if any(_can_run(worker, job) for worker in workers.list_live(session, job.queue, now)):
            continue
        same = (Job.number == job.number, Job.reserved_host == job.reserved_host)
        if _change(session, None, *same):
            to_ring += rings_after(session, job.queue, now)
    return to_ring


def rings_after(session: Session, name: str, now: datetime) -> list[str]:
    """Return the queue once for each ring that it needs after a reservation, because other jobs waited for the reserved one."""
    return [name] * queue.count_rings(session, name, now)


def _change(session: Session, host_id: str | None, *where: ColumnElement[bool]) -> bool:
    changed = session.execute(
        update(Job)
        .where(*where)
        .values(reserved_host=host_id, version=Job.version + 1)
        .returning(Job.number)
        .execution_options(synchronize_session=False)
    )
    return bool(changed.all())


def _can_run(worker: WorkerInfo, job: Job) -> bool:
    return (
        worker.host_id == job.reserved_host
        and worker.cards >= job.gpus
        and workers.is_able(worker)
        and (worker.models is None or job.model in worker.models)
    )
