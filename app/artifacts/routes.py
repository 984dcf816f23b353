"""Public routes for artifacts."""

from fastapi import APIRouter

from app.artifacts import service
from app.artifacts.service import ArtifactView
from app.db.engine import DatabaseDep
from app.http.document import FILE_PARAMETERS, file_answers
from app.http.paging import Page
from app.storage.data_dir import StorageDep
from app.storage.responses import StoredFile

router = APIRouter(prefix="/v1/jobs/{job_id}/artifacts", tags=["artifacts"])

BYTES = "application/octet-stream"


@router.get("")
def list_artifacts(job_id: str, database: DatabaseDep) -> Page[ArtifactView]:
    """List a job's artifacts."""
    with database.reading() as session:
        views = service.list_artifacts(session, job_id)
    return Page(data=views, has_more=False, cursor=None)


@router.head("/{name}", response_class=StoredFile, include_in_schema=False)
@router.get(
    "/{name}",
    response_class=StoredFile,
    responses=file_answers(BYTES),
    openapi_extra=FILE_PARAMETERS,
)
def download_artifact(
    job_id: str, name: str, database: DatabaseDep, storage: StorageDep
) -> StoredFile:
    """Download one artifact; Range requests are supported, and the ETag is its SHA-256."""
    with database.reading() as session:
        artifact = service.get_artifact(session, job_id, name)
    return StoredFile(
        storage.path(artifact.path),
        filename=artifact.name,
        media_type=BYTES,
        headers={"ETag": f'"{artifact.sha256}"'},
    )
