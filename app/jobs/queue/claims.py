"""SQL that selects the next job for a worker and assigns it.

Most jobs need one GPU, and a single statement claims the first of them. Jobs that need several GPUs are started
strictly in queue order. If such a job is next on a worker's host and too few of its GPUs are free, the host is reserved
for the job: the host's workers do not start later jobs until it has started. Its GPUs therefore become free one by one,
and neither large nor small jobs starve.

All statements walk an index of queued jobs in claim order. They do not read jobs that need a different number of GPUs,
or more than the worker's host has.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import ColumnElement, ScalarSelect, Select, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.tables import Job
from app.jobs import transitions
from app.jobs.queue import larger_hosts, reservations
from app.jobs.queue import order as queue
from app.jobs.queue.gpu_need import ALL, GpuNeed
from app.jobs.queue.larger_hosts import Left
from app.jobs.queue.reservations import LargeJob


class Avoided(NamedTuple):
    """Number of cards that a job must not get, because they failed during one of its attempts."""

    held: int
    """Number of these cards that the worker holds."""
    counted: int
    """Number of these cards that are among the worker's `cards`; at least `held`."""


class Claimant(NamedTuple):
    """A worker that claims a job, and the jobs that it may get."""

    queue: str
    now: datetime
    only_models: Sequence[str] | None = None
    """None: all models except `except_models`."""
    except_models: Sequence[str] = ()
    only_jobs: Sequence[str] | None = None
    except_jobs: Sequence[str] = ()
    host_id: str = ""
    """Empty for a worker running an earlier version. It gets only jobs for one GPU."""
    free_cards: int = 1
    """Number of GPUs that the worker can use now."""
    cards: int = 1
    """Number of GPUs that the worker could use if all were free; at least `free_cards`."""
    avoided: Mapping[int, Avoided] = MappingProxyType({})
    """By job number."""
    has_gpu: bool = False
    memory_bytes: int = 0
    """Memory of the worker's device; 0 if unknown. Jobs that need more are left to other workers."""
    can_mix: bool = True
    """Whether the worker can train on several datasets. If not, such jobs are left to other workers."""

    def permits(self) -> list[ColumnElement[bool]]:
        """Return the conditions on a job's id, its memory, and the abilities that it requires of a worker."""
        conditions: list[ColumnElement[bool]] = []
        if self.memory_bytes:
            least = Job.least_gpu_bytes if self.has_gpu else Job.least_cpu_bytes
            conditions.append(or_(least.is_(None), least <= self.memory_bytes))
        if not self.can_mix:
            conditions.append(Job.is_mixed.is_(false()))
        if self.except_jobs:
            conditions.append(Job.id.not_in(self.except_jobs))
        if self.only_jobs is not None:
            conditions.append(Job.id.in_(self.only_jobs))
        return conditions

    def matches(
        self, model: ColumnElement[str] | InstrumentedAttribute[str]
    ) -> list[ColumnElement[bool]]:
        """Return the conditions on a job's model."""
        conditions: list[ColumnElement[bool]] = []
        if self.except_models:
            conditions.append(model.not_in(self.except_models))
        if self.only_models is not None:
            conditions.append(model.in_(self.only_models))
        return conditions


class Taken(NamedTuple):
    """The result of a claim."""

    job: Job | None
    """The assigned job; None if there is none for the worker."""
    gpus: int = 1
    """Number of GPUs that the job uses."""
    ends_reservation: bool = False
    """Whether the claim has ended a reservation. If so, other jobs can proceed, as can hosts that left the job to the
    reserved one."""
    waits_for: LargeJob | None = None
    """The job that the worker's host will start once enough of its GPUs are free."""
    has_reserved: bool = False
    """Whether this claim has reserved the host for that job."""
    has_left: bool = False
    """Whether this claim is the first to leave a job that requests all GPUs to a larger host."""


def claim_best(session: Session, claimant: Claimant, attempt_id: str) -> Taken:
    """Assign the worker's next job to an attempt, or reserve its host for a job that needs more GPUs."""
    if not claimant.host_id:
        return Taken(_claim_small(session, claimant, attempt_id))
    large = select(Job.number).where(queue.IS_QUEUED, Job.queue == claimant.queue)
    none_is_large = ~or_(
        large.where(Job.gpus == ALL).exists(),
        large.where(Job.gpus.between(2, claimant.cards)).exists(),
    )
    job = _claim_small(session, claimant, attempt_id, none_is_large)
    return _claim_in_order(session, claimant, attempt_id) if job is None else Taken(job)


def _claim_in_order(session: Session, claimant: Claimant, attempt_id: str) -> Taken:
    left = larger_hosts.NOTHING
    has_left = False
    changing: list[int] = []
    while (large := _find_large(session, claimant, changing, left)) is not None:
        if large.gpus == ALL and left == larger_hosts.NOTHING:
            left = larger_hosts.find_left(
                session, large, claimant.host_id, claimant.cards, claimant.now
            )
            if left != larger_hosts.NOTHING:
                has_left = larger_hosts.leave(session, large, claimant.now)
                continue
        for ahead in (
            [Job.priority > large.priority],
            [Job.priority == large.priority, Job.number < large.number],
        ):
            job = _claim_small(session, claimant, attempt_id, *ahead)
            if job is not None:
                return Taken(job, has_left=has_left)
        avoided = claimant.avoided.get(large.number, Avoided(0, 0))
        free_cards = claimant.free_cards - avoided.held
        cards = claimant.cards - avoided.counted
        if GpuNeed(large.gpus, large.most_gpus).on_host(cards) <= free_cards:
            job = _claim(session, claimant, attempt_id, Job.number == large.number)
            if job is not None:
                gpus = min(large.most_gpus, free_cards)
                was_reserved = large.reserved_host is not None
                return Taken(job, gpus, ends_reservation=was_reserved, has_left=has_left)
        elif large.reserved_host == claimant.host_id:
            return Taken(None, waits_for=large, has_left=has_left)
        else:
            ended = reservations.reserve(session, large, claimant.host_id, claimant.now)
            if ended is not None:
                return Taken(None, 1, ended, large, has_reserved=True, has_left=has_left)
        changing.append(large.number)  # another request is modifying it
    return Taken(_claim_small(session, claimant, attempt_id), has_left=has_left)


def _find_large(
    session: Session, claimant: Claimant, except_numbers: Sequence[int], left: Left
) -> LargeJob | None:
    """Return the first multi-GPU job that the worker's host can run and that is not left to another host."""
    where = [
        queue.is_claimable(claimant.now),
        Job.queue == claimant.queue,
        Job.number.not_in(except_numbers),
        *claimant.permits(),
    ]
    if claimant.free_cards < claimant.cards:
        is_ours = reservations.is_open(claimant.now) | (Job.reserved_host == claimant.host_id)
        where.append(is_ours | (Job.most_gpus <= claimant.free_cards))
    by_model = claimant.matches(Job.model) or left.models
    firsts = _firsts_of_models if by_model else _firsts_of_sizes
    columns = [getattr(Job, name) for name in LargeJob._fields]
    numbers = firsts(claimant, where, left)
    best = select(*columns).where(Job.number.in_(numbers)).order_by(*queue.ORDER).limit(1)
    row = session.execute(best).one_or_none()
    return None if row is None else LargeJob._make(row)


def _firsts_of_sizes(
    claimant: Claimant, where: Sequence[ColumnElement[bool]], left: Left
) -> Select[int]:
    """Return the first job of each size that the worker's host can run."""
    sizes = queue.list_sizes(claimant.queue, claimant.cards)
    other = [sizes.c.value != ALL] if left.is_everything else []
    return select(_first(*where, Job.gpus == sizes.c.value)).where(sizes.c.value != 1, *other)


def _firsts_of_models(
    claimant: Claimant, where: Sequence[ColumnElement[bool]], left: Left
) -> Select[int]:
    """Return the first job of each size and model that the worker may claim. Jobs for other models are not read."""
    kinds = queue.list_kinds(claimant.queue, claimant.cards)
    is_of_kind = (Job.gpus == kinds.c.gpus, Job.model == kinds.c.model)
    matching = claimant.matches(kinds.c.model)
    if left.is_everything:
        matching.append(kinds.c.gpus != ALL)
    elif left.models:
        matching.append((kinds.c.gpus != ALL) | kinds.c.model.not_in(left.models))
    return select(_first(*where, *is_of_kind)).where(kinds.c.model.is_not(None), *matching)


def _first(*where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(Job.number).where(*where).order_by(*queue.ORDER).limit(1).scalar_subquery()


def _claim_small(
    session: Session, claimant: Claimant, attempt_id: str, *where: ColumnElement[bool]
) -> Job | None:
    """Assign the first job that uses one GPU and meets these conditions."""
    small = [Job.gpus == 1, *where]
    is_of_queue = (queue.IS_QUEUED, Job.queue == claimant.queue, Job.gpus == 1)
    if not claimant.matches(Job.model):
        return _claim(session, claimant, attempt_id, *small)
    head = select(Job.number).where(*is_of_queue).order_by(*queue.ORDER).limit(queue.MOST_PLACES)
    matching = [*claimant.matches(Job.model), Job.number.in_(head)]
    job = _claim(session, claimant, attempt_id, *small, *matching)
    if job is not None:
        return job
    # The first thousand jobs need other workers, and a matching job may be anywhere after them.
    models = queue.distinct(Job.model, *is_of_queue)
    first = (
        select(Job.number)
        .where(
            queue.is_claimable(claimant.now),
            Job.queue == claimant.queue,
            Job.model == models.c.value,
            *small,
            *claimant.permits(),
        )
        .order_by(*queue.ORDER)
        .limit(1)
        .scalar_subquery()
    )
    firsts = select(first).where(*claimant.matches(models.c.value))
    ranked = select(Job.model).where(Job.number.in_(firsts)).order_by(*queue.ORDER)
    for model in session.scalars(ranked).all():
        job = _claim(session, claimant, attempt_id, *small, Job.model == model)
        if job is not None:
            return job
    return None


def _claim(
    session: Session, claimant: Claimant, attempt_id: str, *where: ColumnElement[bool]
) -> Job | None:
    """Assign the first job that meets these conditions, in a single statement."""
    best = (
        select(Job.number)
        .where(
            queue.is_claimable(claimant.now),
            Job.queue == claimant.queue,
            *claimant.permits(),
            *where,
        )
        .order_by(*queue.ORDER)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return transitions.mark_running(session, best.scalar_subquery(), attempt_id, claimant.now)
