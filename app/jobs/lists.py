"""SQL for job lists, newest first: by time of submission, and by number if the times are equal.

For a filter that has an index in this order (a time, a status, a label), the query walks that index, so a page costs
the same with a thousand jobs as with a million. For a filter without such an index (a search, or a second filter), it
checks at most MOST_SEARCHED jobs of that walk per page; the cursor continues the search from there.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Subquery, func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session, defer

from app.db.tables import Attempt, Job, JobLabel, JobText, UtcTime
from app.jobs.schemas import JobFilter
from contracts.job import JobStatus

MOST_SEARCHED = 1000
"""Maximum number of jobs that one page checks against filters without an index."""
_JOB_ID = re.compile(r"job_[0-9a-f]{24}")
Condition = Callable[[Subquery], ColumnElement[bool]]
"""A condition on a candidate, which is a row of `created_at` and `number`."""


class Place(NamedTuple):
    """A job's place in a list."""

    created_at: datetime
    number: int


THE_END = Place(datetime.min.replace(tzinfo=UTC), 0)
"""The place after the last job of any list."""


class Found(NamedTuple):
    """Places of the matching jobs, newest first, and the place where the search ended."""

    places: list[Place]
    searched: int | None = None
    """Number of jobs checked, if the search ended before the page was full; None if an index sufficed or the page is full."""
    ended_at: Place | None = None
    """The last job checked, if there are older ones."""


def text_of(name: str, model: str, job_id: str) -> str:
    """Return the searchable text of a job."""
    return "\n".join((name, model, job_id)).casefold()


def find_jobs(session: Session, chosen: JobFilter, below: Place | None, limit: int) -> Found:
    """Return the places of at most `limit` matching jobs after the place `below`, newest first."""
    walks, rest = _plan(session, chosen, below)
    if not rest:
        return Found(_places(session, _merged(walks, limit)))
    candidates = _merged(walks, MOST_SEARCHED).subquery("candidates")
    conditions = [condition(candidates) for condition in rest]
    matching = (
        select(candidates.c.created_at, candidates.c.number)
        .where(*conditions)
        .order_by(candidates.c.created_at.desc(), candidates.c.number.desc())
        .limit(limit)
    )
    places = _places(session, matching)
    if len(places) == limit:
        return Found(places)
    searched = session.scalar(select(func.count()).select_from(candidates)) or 0
    if searched < MOST_SEARCHED:
        return Found(places, searched)
    last, *older = _places(session, _merged(walks, 2, skipped=MOST_SEARCHED - 1))
    return Found(places, searched, last if older else None)


def read_jobs(session: Session, places: Sequence[Place]) -> list[tuple[Job, datetime | None]]:
    """Return the jobs at these places, without their summaries, and when their leases expire."""
    rows = session.execute(
        select(Job, Attempt.lease_expires_at)
        .outerjoin(Attempt, Attempt.id == Job.current_attempt_id)
        .where(Job.number.in_([place.number for place in places]))
        .options(defer(Job.summary, raiseload=True))
    )
    by_number = {job.number: (job, lease) for job, lease in rows}
    return [by_number[place.number] for place in places if place.number in by_number]


def find_place_below(session: Session, number: int) -> Place:
    """Return the place from which a list continues with jobs below `number`; the job with this number may have been deleted."""
    row = session.execute(
        select(Job.created_at, Job.number)
        .where(Job.number < number)
        .order_by(Job.number.desc())
        .limit(1)
    ).one_or_none()
    return THE_END if row is None else Place(row.created_at, row.number + 1)


def _plan(
    session: Session, chosen: JobFilter, below: Place | None
) -> tuple[list[Select[Any]], list[Condition]]:
    """Return walks that together cover every possible match, and the conditions left to check on each candidate."""
    rest: list[Condition] = []
    search, statuses = chosen.search.casefold(), dict.fromkeys(chosen.statuses)
    labels = list(chosen.labels.items())
    if len(labels) > 1:
        labels.sort(key=lambda label: _count(session, _walk_label(label, chosen, below)))
    rest += [_has_label(key, value) for key, value in labels[1:]]
    if _JOB_ID.fullmatch(search):
        rest += [_has_label(key, value) for key, value in labels[:1]]
        walks = [_walk(Job.created_at, Job.number, chosen, below).where(Job.id == search)]
    else:
        rest += [_has_text(search)] if search else []
        if not labels:
            walks = [
                _walk(Job.created_at, Job.number, chosen, below).where(Job.status == status)
                for status in statuses
            ]
            return walks or [_walk(Job.created_at, Job.number, chosen, below)], rest
        walks = [_walk_label(labels[0], chosen, below)]
    if statuses:
        rest.append(_has_status(list(statuses)))
    return walks, rest


def _walk(created_at: Any, number: Any, chosen: JobFilter, below: Place | None) -> Select[Any]:
    walk = select(created_at.label("created_at"), number.label("number"))
    if chosen.created_after is not None:
        walk = walk.where(created_at > chosen.created_after)
    if chosen.created_before is not None:
        walk = walk.where(created_at < chosen.created_before)
    if below is not None:
        place = tuple_(literal(below.created_at, UtcTime()), literal(below.number))
        walk = walk.where(tuple_(created_at, number) < place)
    return walk.order_by(created_at.desc(), number.desc())


def _walk_label(label: tuple[str, str], chosen: JobFilter, below: Place | None) -> Select[Any]:
    key, value = label
    return _walk(JobLabel.created_at, JobLabel.number, chosen, below).where(
        JobLabel.key == key, JobLabel.value == value, JobLabel.created_at.is_not(None)
    )


def _merged(walks: Sequence[Select[Any]], limit: int, skipped: int = 0) -> Select[Any]:
    """Return the newest jobs of all walks; each job is in at most one walk."""
    if len(walks) == 1:
        return walks[0].limit(limit).offset(skipped or None)
    parts = [walk.limit(limit + skipped).subquery() for walk in walks]
    merged = union_all(*[select(part.c.created_at, part.c.number) for part in parts]).subquery()
    newest = select(merged.c.created_at, merged.c.number)
    newest = newest.order_by(merged.c.created_at.desc(), merged.c.number.desc())
    return newest.limit(limit).offset(skipped or None)


# Each condition is a scalar subquery, so that the planner looks it up for each candidate instead of turning it into a
# join that reads the whole table.


def _has_text(search: str) -> Condition:
    def condition(candidate: Subquery) -> ColumnElement[bool]:
        text = select(JobText.text).where(JobText.number == candidate.c.number)
        return text.scalar_subquery().contains(search, autoescape=True)

    return condition


def _has_status(statuses: Sequence[JobStatus]) -> Condition:
    def condition(candidate: Subquery) -> ColumnElement[bool]:
        status = select(Job.status).where(Job.number == candidate.c.number)
        return status.scalar_subquery().in_(statuses)

    return condition


def _has_label(key: str, value: str) -> Condition:
    def condition(candidate: Subquery) -> ColumnElement[bool]:
        label = select(JobLabel.number).where(
            JobLabel.key == key,
            JobLabel.value == value,
            JobLabel.created_at == candidate.c.created_at,
            JobLabel.number == candidate.c.number,
        )
        return label.scalar_subquery().is_not(None)

    return condition


def _count(session: Session, walk: Select[Any]) -> int:
    """Count a walk's jobs, up to MOST_SEARCHED."""
    walked = walk.limit(MOST_SEARCHED).subquery()
    return session.scalar(select(func.count()).select_from(walked)) or 0


def _places(session: Session, walk: Select[Any]) -> list[Place]:
    return [Place(created_at, number) for created_at, number in session.execute(walk)]
