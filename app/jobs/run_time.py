"""SQL for the time spent on a job, which excludes the time in which it was queued or paused."""

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from app.db.sql import seconds_between
from app.db.tables import Attempt, Job

_ATTEMPT = aliased(Attempt)
RUN_SECONDS = (
    select(func.sum(seconds_between(_ATTEMPT.started_at, _ATTEMPT.ended_at)))
    .where(_ATTEMPT.job_id == Job.id)
    .correlate(Job)
    .scalar_subquery()
)
"""Total duration of a job's attempts that have ended; null if none has. A column for queries on jobs."""
