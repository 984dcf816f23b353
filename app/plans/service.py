"""Rules for stored plans: they are kept with the job, and returned in the caller's language."""

from typing import Any

from sqlalchemy.orm import Session

from app.db.ids import is_id
from app.db.tables import to_json
from app.errors.kinds import JobNotFound
from app.plans import store
from app.plans.rows.sample import RowSample, pack_sample
from app.plans.schemas import Forecast, JobPlan, KeptPlan
from app.plans.words import say
from contracts.failure import Language

_KEPT = "kept"
"""The key of the KeptPlan in a stored forecast. Plans of earlier versions lack it."""


def keep_plan(
    session: Session, job_id: str, kept: KeptPlan, forecast: Forecast, sample: RowSample | None
) -> None:
    """Store the plan of a new job, and the sample of its rows."""
    content = to_json(forecast) | {_KEPT: to_json(kept)}
    store.insert_plan(session, job_id, content, pack_sample(sample))


def get_plan(session: Session, job_id: str, language: Language) -> dict[str, Any]:
    """Return a job's plan as the content of a JobPlan. Raises JobNotFound."""
    found = store.find_plan(session, job_id) if is_id(job_id) else None
    if found is None:
        raise JobNotFound(job=job_id[:100])
    stored = found[1]
    kept = None if stored is None else stored.forecast.get(_KEPT)
    plan = JobPlan.model_validate(
        {
            **(kept or {}),
            "data_warnings": None if kept is None else kept["data_warnings"].get(language, []),
            "job": found[0],
            "forecast": None if stored is None else stored.forecast,
            "actual": None if stored is None else stored.actual,
        }
    )
    return say(plan, language)
