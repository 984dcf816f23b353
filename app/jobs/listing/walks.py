"""Index walks for job lists, which together yield every job that matches a filter, in list order.

A list consists of consecutive sections, for example the running jobs followed by the queued ones. Each section merges
one or more walks. A filter without an index in the section's order becomes a condition on each job that the walks
yield.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Subquery, func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session

from app.db.tables import Job, JobLabel, JobText
from app.jobs.listing.conditions import (
    Condition,
    has_key,
    has_label,
    has_no_label,
    has_status,
    has_text,
    is_created_between,
    within_times,
)
from app.jobs.queue.order import IS_QUEUED
from app.jobs.schemas import JobFilter, JobSort
from contracts.job import JobStatus

Key = datetime | float | str | None
BEFORE_ALL = 2**62
"""Number of the place before a section's first job."""
GROUPS = (
    [JobStatus.RUNNING],
    [JobStatus.QUEUED],
    [JobStatus.PAUSED],
    [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED],
)
"""Order of a list sorted by status. Within a group, the newest job comes first; queued jobs are in claim order."""
QUEUED_SECTION = GROUPS.index([JobStatus.QUEUED])
"""Section number of the queued jobs in a list sorted by status."""


class Place(NamedTuple):
    """A job's place in a list."""

    key: Key
    """Value of the section's sort column; null in the section of jobs without a value."""
    number: int
    section: int = 0


@dataclass(frozen=True)
class Walk:
    """A query that reads rows from an index, ordered by `key` and `number`."""

    rows: Select[Any]
    key: ColumnElement[Any]
    number: ColumnElement[Any]


@dataclass(frozen=True)
class Section:
    """A part of a list. Each job is in at most one walk and matches if all conditions are true."""

    walks: list[Walk] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    descending: bool = True
    has_keys: bool = True
    """False for the section of jobs without a sort value, which are sorted by number."""
    lowest: Key = None
    """Lowest value; set if the walks would otherwise also yield jobs without a value. SQLite cannot skip nulls with IS NOT
    NULL."""

    def merged(self, after: Place | None, limit: int, skipped: int = 0) -> Select[Any]:
        """Return the first jobs of all walks after a place, as rows of `key` and `number`."""
        walks = [part for walk in self.walks for part in self._ordered(walk, after)]
        if len(walks) == 1:
            return walks[0].limit(limit).offset(skipped or None)
        parts = [walk.limit(limit + skipped).subquery() for walk in walks]
        rows = union_all(*[select(part.c.key, part.c.number) for part in parts]).subquery()
        return self.ordered(rows).limit(limit).offset(skipped or None)

    def ordered(self, rows: Subquery) -> Select[Any]:
        """Return rows of `key` and `number` in the section's order."""
        return self._sorted(select(rows.c.key, rows.c.number), rows.c.key, rows.c.number)

    def _ordered(self, walk: Walk, after: Place | None) -> list[Select[Any]]:
        rows = walk.rows
        if after is not None and not self.has_keys:
            rows = rows.where(walk.number < after.number)
        elif after is not None and after.number != BEFORE_ALL:
            place = tuple_(literal(after.key, walk.key.type), literal(after.number))
            row = tuple_(walk.key, walk.number)
            rows = rows.where(row < place if self.descending else row > place)
            if not self.descending:
                # With two lower bounds, SQLite might start the walk at the lower one.
                return [self._sorted(rows, walk.key, walk.number)]
        if self.lowest is not None:
            rows = rows.where(walk.key >= literal(self.lowest, walk.key.type))
        return [self._sorted(rows, walk.key, walk.number)]

    def _sorted(
        self, rows: Select[Any], key: ColumnElement[Any], number: ColumnElement[Any]
    ) -> Select[Any]:
        columns = (key, number)
        return rows.order_by(*[each.desc() if self.descending else each for each in columns])


class QueuedSection(Section):
    """The queued jobs in claim order; the key is the priority."""

    def _ordered(self, walk: Walk, after: Place | None) -> list[Select[Any]]:
        if after is None or after.number == BEFORE_ALL:
            return [self._sorted(walk.rows, walk.key, walk.number)]
        # A single condition on both columns could not use the index, because the columns have different directions.
        priority = literal(after.key, walk.key.type)
        parts = (
            walk.rows.where(walk.key == priority, walk.number > after.number),
            walk.rows.where(walk.key < priority),
        )
        return [self._sorted(part, walk.key, walk.number) for part in parts]

    def _sorted(
        self, rows: Select[Any], key: ColumnElement[Any], number: ColumnElement[Any]
    ) -> Select[Any]:
        return rows.order_by(key.desc(), number)


def plan(session: Session, chosen: JobFilter, most: int) -> list[Section]:
    """Return the sections of a list. If a filter's walk yields at most `most` jobs, it is sorted without an index."""
    if chosen.is_contradictory:
        return []
    column, descending = chosen.sort.column, chosen.sort.is_descending
    if chosen.sort is JobSort.STATUS:
        wanted = chosen.statuses or list(JobStatus)
        groups = [[status for status in group if status in wanted] for group in GROUPS]
        return [_plan_group(session, chosen, group, most) for group in groups]
    if column == "created_at":
        walks, rest = plan_created(session, chosen, chosen.statuses, most)
        return [Section(walks, rest, descending)]
    walks, rest = _plan_sorted(session, chosen, most)
    without = [Walk(walk.rows.where(walk.key.is_(None)), walk.key, walk.number) for walk in walks]
    return [
        Section(walks, rest, descending, lowest=_LOWEST[column]),
        Section(without, rest, has_keys=False),
    ]


def plan_created(
    session: Session, chosen: JobFilter, statuses: Sequence[JobStatus], most: int
) -> tuple[list[Walk], list[Condition]]:
    """Return walks in creation order that yield every match, and the remaining conditions to check on each job."""
    states = _archived_states(chosen)
    search = chosen.search.casefold()
    rest: list[Condition] = [has_key(key) for key in chosen.label_keys]
    if chosen.is_unlabelled:
        rest.append(has_no_label)
    if chosen.job_id is None and search:
        rest.append(has_text(search))
    options: list[tuple[list[Walk], Condition]] = [
        ([_walk_label(key, value, chosen, state) for state in states], has_label(key, value))
        for key, value in chosen.labels
    ]
    if statuses:
        walks = [
            _walk_created(chosen, state, Job.status == status)
            for status in dict.fromkeys(statuses)
            for state in states
        ]
        options.append((walks, has_status(list(statuses))))
    if chosen.job_id is not None:
        walks = [_walk_created(chosen, state, Job.id == chosen.job_id) for state in states]
        return walks, rest + [condition for _, condition in options]
    if not options:
        return [_walk_created(chosen, state) for state in states], rest
    if len(options) > 1:
        options.sort(key=lambda option: count(session, Section(option[0]), most))
    return options[0][0], rest + [condition for _, condition in options[1:]]


def count(session: Session, section: Section, most: int) -> int:
    """Count the jobs that a section's walks yield, up to `most`."""
    walked = section.merged(None, most).subquery()
    return session.scalar(select(func.count()).select_from(walked)) or 0


def _plan_group(
    session: Session, chosen: JobFilter, group: Sequence[JobStatus], most: int
) -> Section:
    """Return the section of the jobs that have one of these statuses."""
    if not group:
        return Section()
    if group == [JobStatus.QUEUED]:
        return QueuedSection(*_plan_queued(session, chosen, most))
    return Section(*plan_created(session, chosen, group, most))


def _plan_queued(
    session: Session, chosen: JobFilter, most: int
) -> tuple[list[Walk], list[Condition]]:
    """Return walks in claim order that yield every queued job."""
    priority: Any = Job.priority
    if chosen.labels or chosen.job_id or _has_times(chosen):
        walks, rest = plan_created(session, chosen, [JobStatus.QUEUED], most)
        if few := _sort_few(session, walks, priority, most):
            return few, rest
    rows = select(priority.label("key"), Job.number.label("number")).where(IS_QUEUED)
    walks = [
        Walk(rows.where(Job.archived == state), priority, Job.number.expression)
        for state in _archived_states(chosen)
    ]
    return walks, _conditions(chosen, [])


def _plan_sorted(
    session: Session, chosen: JobFilter, most: int
) -> tuple[list[Walk], list[Condition]]:
    """Return walks in the order of the sort column, with and without a value."""
    column = chosen.sort.column
    key = _KEYS[column]
    if chosen.statuses or chosen.labels or chosen.job_id or _has_times(chosen):
        walks, rest = plan_created(session, chosen, chosen.statuses, most)
        if few := _sort_few(session, walks, key, most):
            return few, rest
    owner = key.class_
    walks = [
        Walk(
            select(key.label("key"), owner.number.label("number")).where(owner.archived == state),
            key,
            owner.number,
        )
        for state in _archived_states(chosen)
    ]
    return walks, _conditions(chosen, chosen.statuses)


def _sort_few(session: Session, walks: list[Walk], key: Any, most: int) -> list[Walk]:
    """Return a walk that sorts the jobs of these walks by another key; empty if there are more than `most` jobs."""
    if count(session, Section(walks), most + 1) > most:
        return []
    few = Section(walks).merged(None, most).subquery()
    # A scalar subquery makes the planner look up the key for these jobs instead of walking the sort index.
    value = select(key).where(key.class_.number == few.c.number).scalar_subquery()
    rows = select(value.label("key"), few.c.number).subquery()
    return [Walk(select(rows.c.key, rows.c.number), rows.c.key, rows.c.number)]


def _conditions(chosen: JobFilter, statuses: Sequence[JobStatus]) -> list[Condition]:
    """Return the conditions to check on each job of a walk that yields all jobs."""
    rest = [has_key(name) for name in chosen.label_keys]
    rest += [has_label(*label) for label in chosen.labels]
    if chosen.is_unlabelled:
        rest.append(has_no_label)
    if statuses:
        rest.append(has_status(statuses))
    if chosen.search:
        rest.append(has_text(chosen.search.casefold()))
    if _has_times(chosen):
        rest.append(is_created_between(chosen))
    return rest


_KEYS: dict[str, Any] = {
    "name": JobText.name,
    "eval_loss": Job.eval_loss,
    "ended_at": Job.ended_at,
}
_LOWEST: dict[str, Key] = {
    "name": "",
    "eval_loss": -1.7e308,
    "ended_at": datetime.min.replace(tzinfo=UTC),
}


def _archived_states(chosen: JobFilter) -> list[bool]:
    return [False, True] if chosen.archived is None else [chosen.archived]


def _has_times(chosen: JobFilter) -> bool:
    return chosen.created_after is not None or chosen.created_before is not None


def _walk_created(chosen: JobFilter, archived: bool, *where: ColumnElement[bool]) -> Walk:
    created_at: Any = Job.created_at
    rows = select(created_at.label("key"), Job.number.label("number")).where(
        Job.archived == archived, *where, *within_times(created_at, chosen)
    )
    return Walk(rows, created_at, Job.number.expression)


def _walk_label(key: str, value: str, chosen: JobFilter, archived: bool) -> Walk:
    created_at: Any = JobLabel.created_at
    rows = select(created_at.label("key"), JobLabel.number.label("number")).where(
        JobLabel.key == key,
        JobLabel.value == value,
        JobLabel.archived == archived,
        created_at.is_not(None),
        *within_times(created_at, chosen),
    )
    return Walk(rows, created_at, JobLabel.number.expression)
