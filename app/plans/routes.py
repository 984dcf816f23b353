"""The public route for the plan of a job."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.db.engine import DatabaseDep
from app.http.negotiation.language import LanguageDep
from app.plans import service
from app.plans.schemas import JobPlan

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/{job_id}/plan", response_model=JobPlan)
def get_job_plan(job_id: str, database: DatabaseDep, language: LanguageDep) -> JSONResponse:
    """Return the forecast made when the job was submitted and, once it has succeeded, the actual figures."""
    with database.reading() as session:
        plan = service.get_plan(session, job_id, language)
    return JSONResponse(plan, headers={"Vary": "Accept-Language"})
