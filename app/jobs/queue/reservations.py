"""Hosts reserved for queued multi-GPU jobs. A reservation ends when the job starts, is paused or cancelled, or fails.

If the reserved host does not start the job in time, another host that asks for a job takes over the reservation and
gets twice as much time. A host whose attempt runs for days therefore cannot block the job forever: eventually, a host
has more time than its running attempts need.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, TypedDict, Unpack

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs.queue import order as queue
from app.workers import service as workers
from contracts.attempt import WorkerInfo
from contracts.job import JobStatus

FIRST_SECONDS = 1800
"""How long the first host keeps its reservation before another host may take over."""
LONGEST_SECONDS = 2**29
"""Upper limit of this time, which keeps the resulting date storable."""


class LargeJob(NamedTuple):
    """The relevant columns of a queued multi-GPU job."""

    number: int
    priority: int
    gpus: int
    most_gpus: int
    queue: str
    reserved_host: str | None
    reserved_seconds: int
    reserved_until: datetime | None
    model: str
    larger_until: datetime | None


class _Reservation(TypedDict, total=False):
    reserved_until: datetime
    reserved_seconds: int


def is_open(now: datetime) -> ColumnElement[bool]:
    """Return the condition for a job for which a host may be reserved now."""
    return or_(Job.reserved_host.is_(None), Job.reserved_until <= now)


def reserve(session: Session, job: LargeJob, host_id: str, now: datetime) -> bool | None:
    """Reserve a host for a job, and end the host's other reservations. Return None if the job is no longer open.

    Otherwise, return whether another reservation has ended, in which case other jobs or hosts need not wait any longer.
    Jobs that another request is modifying are skipped, to avoid deadlocks between requests.
    """
    seconds = max(FIRST_SECONDS, job.reserved_seconds * (1 if job.reserved_host is None else 2))
    seconds = min(seconds, LONGEST_SECONDS)
    until = now + timedelta(seconds=seconds)
    is_free = (Job.number == job.number, Job.status == JobStatus.QUEUED, is_open(now))
    if not _change(session, host_id, *is_free, reserved_until=until, reserved_seconds=seconds):
        return None
    others = (Job.reserved_host == host_id, Job.queue == job.queue, Job.number != job.number)
    has_dropped = _change(session, None, *others)
    return has_dropped or job.reserved_host is not None


def end_unusable(session: Session, now: datetime) -> list[str]:
    """End reservations of hosts that can no longer run the job. Return each queue once per ring to send.

    A host that is reserved for several jobs keeps the first reservation.
    """
    to_ring: list[str] = []
    kept: set[tuple[str, str | None]] = set()
    reserved = select(Job).where(Job.reserved_host.is_not(None)).order_by(*queue.ORDER)
    for job in session.scalars(reserved).all():
        place = (job.queue, job.reserved_host)
        live = workers.list_live(session, job.queue, now)
        if place not in kept and any(_can_run(worker, job) for worker in live):
            kept.add(place)
            continue
        same = (Job.number == job.number, Job.reserved_host == job.reserved_host)
        if _change(session, None, *same):
            to_ring += rings_after(session, job.queue, now)
    return to_ring


def rings_after(session: Session, name: str, now: datetime) -> list[str]:
    """Return the queue once per ring to send. Other jobs were waiting for the reserved one."""
    return [name] * queue.count_rings(session, name, now)


def _change(
    session: Session,
    host_id: str | None,
    *where: ColumnElement[bool],
    **values: Unpack[_Reservation],
) -> bool:
    free = select(Job.number).where(*where).with_for_update(skip_locked=True)
    changed = session.execute(
        update(Job)
        .where(Job.number.in_(free))
        .values(reserved_host=host_id, version=Job.version + 1, **values)
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
