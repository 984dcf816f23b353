"""The public route for job health. The findings are part of the job itself."""

from fastapi import APIRouter

from app.db.engine import DatabaseDep
from app.health import service
from app.http.negotiation.language import LanguageDep
from app.jobs.schemas import JobView

router = APIRouter(prefix="/v1/jobs/{job_id}/health", tags=["jobs"])


@router.post("/{code}/acknowledge")
def acknowledge(
    *,
    job_id: str,
    code: str,
    database: DatabaseDep,
    language: LanguageDep,
) -> JobView:
    """Acknowledge a job's finding. It is raised again if it gets worse, or if it recurs after being cleared."""
    with database.writing() as session:
        return service.acknowledge(session, job_id, code, language)
