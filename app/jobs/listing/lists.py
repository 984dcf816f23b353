"""SQL for job lists: pages of jobs that match a filter, and their number.

If a filter has an index in the list's order, a page walks that index, so its cost does not depend on the number of
jobs. Otherwise (a search, or a second filter), a page checks at most MOST_SEARCHED jobs, and the cursor continues from
there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, defer

from app.db.tables import Attempt, Job
from app.jobs.listing.walks import BEFORE_ALL, Place, Section, plan, plan_created
from app.jobs.run_time import RUN_SECONDS
from app.jobs.schemas import JobCount, JobFilter
from contracts.job import JobStatus

MOST_SEARCHED = 1000
"""Maximum number of jobs that a page checks against filters without an index."""
MOST_COUNTED = 1000
"""Maximum number of matching jobs to count exactly."""
THE_END = Place(datetime.min.replace(tzinfo=UTC), 0)
"""The place after the last job in a list with the newest jobs first."""


class Found(NamedTuple):
    """Places of matching jobs in list order, and where the search ended."""

    places: list[Place]
    searched: int | None = None
    """Number of jobs checked if the search ended before the page was full; None if an index sufficed or the page is
    full."""
    ended_at: Place | None = None
    """The last job checked, if there are more."""


def find_jobs(session: Session, chosen: JobFilter, after: Place | None, limit: int) -> Found:
    """Return the places of at most `limit` matching jobs after the place `after`."""
    places: list[Place] = []
    searched: int | None = None
    for index, section in enumerate(plan(session, chosen, MOST_SEARCHED)):
        if not section.walks or (after is not None and index < after.section):
            continue
        start = after if after is not None and index == after.section else None
        left = MOST_SEARCHED - (searched or 0)
        found = _find_in(
            session, section, index, after=start, limit=limit - len(places), budget=left
        )
        places += found.places
        if len(places) == limit:
            return Found(places)
        if found.searched is not None:
            searched = (searched or 0) + found.searched
        if found.ended_at is not None:
            return Found(places, searched, found.ended_at)
    return Found(places, searched)


def count_jobs(session: Session, chosen: JobFilter, statuses: Sequence[JobStatus]) -> JobCount:
    """Count the matching jobs that have one of these statuses (empty: any), exactly up to MOST_COUNTED.

    Filters without an index are checked for at most MOST_COUNTED jobs, so even a small count may be a lower bound.
    """
    if chosen.is_contradictory:
        return JobCount(count=0, is_exact=True)
    section = Section(*plan_created(session, chosen, statuses, MOST_COUNTED))
    candidates = section.merged(None, MOST_COUNTED + 1).subquery("candidates")
    conditions = [condition(candidates) for condition in section.conditions]
    walked, matching = session.execute(
        select(
            func.count(),
            func.count().filter(*conditions) if conditions else func.count(),
        ).select_from(candidates)
    ).one()
    return JobCount(count=min(matching, MOST_COUNTED), is_exact=walked <= MOST_COUNTED)


def read_jobs(
    session: Session, places: Sequence[Place]
) -> list[tuple[Job, datetime | None, float | None]]:
    """Return the jobs at these places, without summaries, with when their leases expire and how long they have run."""
    rows = session.execute(
        select(Job, Attempt.lease_expires_at, RUN_SECONDS)
        .outerjoin(Attempt, Attempt.id == Job.current_attempt_id)
        .where(Job.number.in_([place.number for place in places]))
        .options(defer(Job.summary, raiseload=True))
    )
    by_number = {job.number: (job, lease, seconds) for job, lease, seconds in rows}
    return [by_number[place.number] for place in places if place.number in by_number]


def read_names(session: Session, places: Sequence[Place]) -> list[tuple[str, str | None]]:
    """Return the ids and names of the jobs at these places."""
    rows = session.execute(
        select(Job.number, Job.id, Job.edited, Job.spec["name"].as_string()).where(
            Job.number.in_([place.number for place in places])
        )
    )
    by_number = {
        number: (job_id, spec_name if edited is None else edited["name"])
        for number, job_id, edited, spec_name in rows
    }
    return [by_number[place.number] for place in places if place.number in by_number]


def find_place_below(session: Session, number: int) -> Place:
    """Return the place from which to continue a list below `number`. The job with this number may have been deleted."""
    row = session.execute(
        select(Job.created_at, Job.number)
        .where(Job.number < number)
        .order_by(Job.number.desc())
        .limit(1)
    ).one_or_none()
    return THE_END if row is None else Place(row.created_at, row.number + 1)


def _find_in(
    session: Session,
    section: Section,
    index: int,
    *,
    after: Place | None,
    limit: int,
    budget: int,
) -> Found:
    """Return the matching jobs of a section. If the section has conditions, check at most `budget` jobs."""
    if not section.conditions:
        return Found(_places(session, section.merged(after, limit), index))
    if budget <= 0:
        has_jobs = _places(session, section.merged(after, 1), index)
        return Found([], None, Place(None, BEFORE_ALL, index) if has_jobs else None)
    candidates = section.merged(after, budget).subquery("candidates")
    conditions = [condition(candidates) for condition in section.conditions]
    matching = section.ordered(candidates).where(*conditions).limit(limit)
    places = _places(session, matching, index)
    if len(places) == limit:
        return Found(places)
    searched = session.scalar(select(func.count()).select_from(candidates)) or 0
    if searched < budget:
        return Found(places, searched)
    last, *others = _places(session, section.merged(after, 2, skipped=budget - 1), index)
    return Found(places, searched, last if others else None)


def _places(session: Session, rows: Select[Any], section: int) -> list[Place]:
    return [Place(key, number, section) for key, number in session.execute(rows)]
