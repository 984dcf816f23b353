"""Reads a job's report."""

from sqlalchemy.orm import Session

from app.errors.kinds import SummaryNotReady
from app.jobs import service as jobs
from contracts.failure import Language
from contracts.summary import Summary


def get_summary(session: Session, job_id: str, language: Language) -> Summary:
    """Return the summary of a successful job. Raises SummaryNotReady."""
    job, content = jobs.get_with_summary(session, job_id, language)
    if content is None:
        raise SummaryNotReady(job=job_id, status=job.status.value)
    return Summary.model_validate(content)
