"""SQL for plans and for the results of finished jobs."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, delete, null, select, update
from sqlalchemy.orm import Session

from app.db.plan_tables import ForecastResult, StoredPlan
from app.db.tables import Job
from contracts.job import JobSpec

READ = 20
"""Number of results that a forecast reads."""
KEPT = 50
"""Number of results kept for a model on a kind of device."""


class _Result(TypedDict):
    model: str
    device: str
    settings: str
    dataset_id: str | None
    figures: dict[str, Any]


def insert_plan(
    session: Session, job_id: str, forecast: dict[str, Any], sample: dict[str, Any] | None
) -> None:
    """Store the plan of a new job, and the sample of its rows."""
    session.add(StoredPlan(job_id=job_id, forecast=forecast, sample=sample))
    session.flush()


def find_plan(session: Session, job_id: str) -> tuple[str, StoredPlan | None] | None:
    """Return a job's id and its plan, if it has one; None if the job does not exist."""
    query = select(Job.id, StoredPlan).outerjoin(StoredPlan, StoredPlan.job_id == Job.id)
    row = session.execute(query.where(Job.id == job_id)).one_or_none()
    return None if row is None else (row[0], row[1])


def update_actual(session: Session, job_id: str, actual: dict[str, Any]) -> None:
    """Store a finished job's actual figures, and delete the sample of its rows, which is no longer needed."""
    session.execute(
        update(StoredPlan)
        .where(StoredPlan.job_id == job_id)
        .values(actual=actual, sample=null())
        .execution_options(synchronize_session=False)
    )


def insert_result(session: Session, now: datetime, **columns: Unpack[_Result]) -> None:
    """Store a result, and delete the oldest results for its model and kind of device."""
    result = ForecastResult(created_at=now, **columns)
    session.add(result)
    session.flush()
    of_kind = (ForecastResult.model == result.model, ForecastResult.device == result.device)
    oldest = (
        select(ForecastResult.number)
        .where(*of_kind)
        .order_by(ForecastResult.number.desc())
        .offset(KEPT)
        .limit(1)
    )
    last = session.scalar(oldest)
    if last is not None:
        outdated = delete(ForecastResult).where(*of_kind, ForecastResult.number <= last)
        session.execute(outdated.execution_options(synchronize_session=False))


def list_results(session: Session, model: str, device: str) -> Sequence[ForecastResult]:
    """Return the newest results for a model on a kind of device, newest first."""
    return _list_newest(session, ForecastResult.model == model, ForecastResult.device == device)


def rows_key(spec: JobSpec) -> str | None:
    """Return the key of a job's training rows: the id of an uploaded dataset, or a hash of several with their weights.

    Returns None if any of the datasets is on the hub, because it may change.
    """
    parts = [(part.name, part.weight) for part in spec.dataset.parts]
    if any(not isinstance(part.dataset, str) for part in spec.dataset.parts):
        return None
    if not spec.dataset.is_mixed:
        return parts[0][0]
    return "mix_" + hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()


def list_results_of_rows(session: Session, model: str, dataset_id: str) -> Sequence[ForecastResult]:
    """Return the newest results for a model on the rows with this key (rows_key), newest first."""
    of_rows = ForecastResult.dataset_id == dataset_id
    return _list_newest(session, of_rows, ForecastResult.model == model)


def _list_newest(session: Session, *conditions: ColumnElement[bool]) -> Sequence[ForecastResult]:
    return session.scalars(
        select(ForecastResult).where(*conditions).order_by(ForecastResult.number.desc()).limit(READ)
    ).all()
