"""Conditions on the jobs that an index walk yields: one for each filter that the walk's index does not cover.

Each condition is a scalar subquery, which the planner looks up for each candidate. A join would read the whole table.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Subquery, select

from app.db.tables import Job, JobLabel, JobText
from app.jobs.schemas import JobFilter
from contracts.job import JobStatus

Condition = Callable[[Subquery], ColumnElement[bool]]
"""A condition on a candidate row of `key` and `number`."""


def has_text(search: str) -> Condition:
    """Require that the job's name, model or id contains `search`, which is case-folded."""

    def condition(candidate: Subquery) -> ColumnElement[bool]:
        text = select(JobText.text).where(JobText.number == candidate.c.number)
        return text.scalar_subquery().contains(search, autoescape=True)

    return condition


def has_status(statuses: Sequence[JobStatus]) -> Condition:
    """Require one of these statuses."""

    def condition(candidate: Subquery) -> ColumnElement[bool]:
        status = select(Job.status).where(Job.number == candidate.c.number)
        return status.scalar_subquery().in_(statuses)

    return condition


def has_label(key: str, value: str) -> Condition:
    """Require a label with this key and value."""
    return lambda candidate: _value_of(candidate, key) == value


def has_key(key: str) -> Condition:
    """Require a label with this key."""
    return lambda candidate: _value_of(candidate, key).is_not(None)


def has_no_label(candidate: Subquery) -> ColumnElement[bool]:
    """Require that the job has no label."""
    first = select(JobLabel.key).where(_is_of(candidate)).limit(1)
    return first.correlate(candidate).scalar_subquery().is_(None)


def is_created_between(chosen: JobFilter) -> Condition:
    """Require a creation time within the filter's bounds."""

    def condition(candidate: Subquery) -> ColumnElement[bool]:
        job = select(Job.number).where(Job.number == candidate.c.number)
        return job.where(*within_times(Job.created_at, chosen)).scalar_subquery().is_not(None)

    return condition


def within_times(created_at: Any, chosen: JobFilter) -> list[ColumnElement[bool]]:
    """Return the filter's bounds as conditions on a column with the creation time."""
    where = []
    if chosen.created_after is not None:
        where.append(created_at > chosen.created_after)
    if chosen.created_before is not None:
        where.append(created_at < chosen.created_before)
    return where


def _value_of(candidate: Subquery, key: str) -> ColumnElement[str]:
    label = select(JobLabel.value).where(_is_of(candidate), JobLabel.key == key)
    return label.correlate(candidate).scalar_subquery()


def _is_of(candidate: Subquery) -> ColumnElement[bool]:
    """Return whether a label belongs to the candidate."""
    # By default, SQLAlchemy correlates a nested subquery only with the query that directly encloses it.
    job = select(Job.id).where(Job.number == candidate.c.number).correlate(candidate)
    return JobLabel.job_id == job.scalar_subquery()
