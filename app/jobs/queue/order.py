"""SQL for queued jobs: places in the queue, and how many can be claimed.

All statements walk an index of queued jobs in claim order and stop after a fixed number of entries, so their cost does
not depend on the length of the queue.
"""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import (
    CTE,
    ColumnElement,
    ScalarSelect,
    Select,
    bindparam,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.sql import written_out
from app.db.tables import Job
from app.jobs.queue.gpu_need import ALL
from app.workers import store as workers
from app.workers.service import list_starters
from contracts.attempt import WorkerInfo
from contracts.job import JobStatus

T = TypeVar("T")

MOST_PLACES = 1000
"""Maximum place that is counted exactly."""
FAR = MOST_PLACES + 1
"""Returned for any place beyond MOST_PLACES."""
IS_QUEUED: ColumnElement[bool] = written_out(Job.status, JobStatus.QUEUED)
ORDER = (Job.priority.desc(), Job.number)


def find_place(session: Session, job: Job) -> int | None:
    """Return a queued job's place in its queue (1 is next; FAR means beyond MOST_PLACES), or None for other jobs."""
    if job.status is not JobStatus.QUEUED:
        return None
    values = {"queue": job.queue, "priority": job.priority, "number": job.number}
    count = session.scalar(_count_ahead(MOST_PLACES), values)
    return min(count or 0, MOST_PLACES) + 1


def find_places(session: Session, jobs: Sequence[Job]) -> dict[int, int]:
    """Return the places of the queued jobs among these, by job number; see find_place."""
    queued = [job for job in jobs if job.status is JobStatus.QUEUED]
    places = dict.fromkeys((job.number for job in queued), FAR)
    last = _list_last(session, sorted({job.queue for job in queued}))
    near = [
        job
        for job in queued
        if job.queue not in last or (-job.priority, job.number) <= last[job.queue]
    ]
    if near:
        placed = union_all(*[_placed(queue) for queue in sorted({job.queue for job in near})])
        rows = placed.subquery()
        numbers = [job.number for job in near]
        found = select(rows.c.number, rows.c.place).where(rows.c.number.in_(numbers))
        places.update((number, place) for number, place in session.execute(found))
    return places


def list_queues(session: Session) -> list[str]:
    """Return the queues that have queued jobs."""
    queues = distinct(Job.queue, IS_QUEUED)
    return list(session.scalars(select(queues.c.value).order_by(queues.c.value)))


def count_claimable(session: Session, queue: str, now: datetime, most: int) -> int:
    """Return how many jobs of a queue can be claimed now, at most `most`."""
    claimable = select(Job.number).where(is_claimable(now), Job.queue == queue).limit(most)
    return session.scalar(select(func.count()).select_from(claimable.subquery())) or 0


def count_rings(session: Session, queue: str, now: datetime) -> int:
    """Return how many rings a queue needs to wake a suitable worker for each claimable job.

    Any worker may take a ring, so a job that only some hosts can start needs one per live worker.
    """
    most = max(1, workers.count_live(session, queue, now))
    count = count_claimable(session, queue, now, most)
    if 0 < count < most and is_large_startable(
        session, queue, now, list_starters(session, queue, now)
    ):
        return most
    return count


def has_mixed(session: Session, queue: str, now: datetime) -> bool:
    """Return whether a claimable job of a queue trains on several datasets."""
    mixed = select(Job.number).where(is_claimable(now), Job.queue == queue, Job.is_mixed)
    return session.scalar(select(mixed.exists())) is True


def is_large_startable(
    session: Session,
    queue: str,
    now: datetime,
    starters: Sequence[WorkerInfo],
    *where: ColumnElement[bool],
    beyond: int = 0,
) -> bool:
    """Return whether a claimable job that needs more than one GPU, and more than `beyond`, fits any of these hosts."""
    for worker in starters:
        sizes = list_sizes(queue, worker.cards)
        is_larger: ColumnElement[bool] = sizes.c.value.between(max(2, beyond + 1), worker.cards)
        if worker.cards > beyond:
            is_larger |= sizes.c.value == ALL
        fits = [is_claimable(now), Job.queue == queue, Job.gpus == sizes.c.value, *where]
        if worker.models is not None:
            fits.append(Job.model.in_(worker.models))
        found = select(sizes.c.value).where(is_larger, select(Job.number).where(*fits).exists())
        if session.scalar(found.limit(1)) is not None:
            return True
    return False


def _list_last(session: Session, queues: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return (-priority, number) of the job at place MOST_PLACES in each queue of at least that length."""
    if not queues:
        return {}
    each = [
        _in_order(queue).offset(MOST_PLACES - 1).limit(1).subquery(f"last_{n}")
        for n, queue in enumerate(queues)
    ]
    rows = union_all(*[select(one.c.queue, one.c.priority, one.c.number) for one in each])
    return {queue: (-priority, number) for queue, priority, number in session.execute(rows)}


def _placed(queue: str) -> Select[int, int]:
    """Return the numbers and places of the first MOST_PLACES jobs of a queue."""
    first = _in_order(queue).limit(MOST_PLACES).subquery()
    place = func.row_number().over(order_by=(first.c.priority.desc(), first.c.number))
    placed = select(first.c.number, place.label("place")).subquery()
    return select(placed.c.number, placed.c.place)


def _in_order(queue: str) -> Select[str, int, int]:
    jobs = select(Job.queue, Job.number, Job.priority)
    return jobs.where(IS_QUEUED, Job.queue == queue).order_by(*ORDER)


@functools.cache
def _count_ahead(most: int) -> Select[int]:
    """Select the number of jobs ahead, at most twice `most`. Built only once, because each submission and poll runs it."""
    priority: ColumnElement[int] = bindparam("priority")
    others = select(Job.number).where(IS_QUEUED, Job.queue == bindparam("queue"))
    earlier = others.where(Job.priority == priority, Job.number < bindparam("number"))
    ahead = union_all(_first(others.where(Job.priority > priority), most), _first(earlier, most))
    return select(func.count()).select_from(ahead.subquery())


def _first(numbers: Select[int], most: int) -> Select[int]:
    first = numbers.limit(most).subquery()
    return select(first.c.number)


def is_claimable(now: datetime) -> ColumnElement[bool]:
    """Return the condition for a job that is in a queue and can be claimed now."""
    return IS_QUEUED & or_(Job.not_before.is_(None), Job.not_before <= now)


def distinct(column: InstrumentedAttribute[T], *where: ColumnElement[bool]) -> CTE:
    """Return the distinct values of an indexed column, with one index lookup per value."""

    def next_value(*beyond: ColumnElement[bool]) -> ScalarSelect[T]:
        values = select(column).where(*where, *beyond).order_by(column).limit(1)
        return values.scalar_subquery()

    found = select(next_value().label("value")).cte("found", recursive=True)
    found = found.union_all(
        select(next_value(column > found.c.value)).where(found.c.value.is_not(None))
    )
    return select(found.c.value).where(found.c.value.is_not(None)).cte("distinct_values")


def list_sizes(queue: str, cards: int) -> CTE:
    """Return the distinct numbers of GPUs up to `cards` that queued jobs need, as the column `value`."""
    return distinct(Job.gpus, IS_QUEUED, Job.queue == queue, Job.gpus <= cards)


def list_kinds(queue: str, cards: int) -> CTE:
    """Return the sizes above 1 and up to `cards`, and the models, of queued jobs, as the columns `gpus` and `model`.

    Each row takes one index lookup. The last row for each size has a null model.
    """

    def next_model(gpus: ColumnElement[int], *beyond: ColumnElement[bool]) -> ScalarSelect[str]:
        of_size = (IS_QUEUED, Job.queue == queue, Job.gpus == gpus)
        models = select(Job.model).where(*of_size, *beyond).order_by(Job.model).limit(1)
        return models.scalar_subquery()

    sizes = list_sizes(queue, cards)
    kinds = select(sizes.c.value.label("gpus"), next_model(sizes.c.value).label("model"))
    found = kinds.where(sizes.c.value != 1).cte("kinds", recursive=True)
    last = (found.c.gpus, found.c.model)
    return found.union_all(
        select(last[0], next_model(last[0], Job.model > last[1])).where(last[1].is_not(None))
    )
