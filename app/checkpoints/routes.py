"""Routes for checkpoints: the public list, and worker uploads and downloads, which require the attempt's token."""

from fastapi import APIRouter, BackgroundTasks, Request, Response

from app.checkpoints import service
from app.checkpoints.service import CheckpointView
from app.db.engine import DatabaseDep
from app.errors.kinds import CheckpointFileNotFound
from app.http.body_limits import BodyKind, takes
from app.http.headers.bearer import TokenDep
from app.http.paging import Page
from app.leases.gate import WorkerRoute
from app.leases.lease import TimesDep
from app.storage.data_dir import StorageDep
from app.storage.responses import StoredFile
from contracts.checkpoint import CheckpointOffer, CheckpointReply
from contracts.protocol.wire import BLOB_PATH, CHECKPOINT_PATH, SHA256_HEADER

router = APIRouter()
internal = APIRouter(tags=["internal"], include_in_schema=False, route_class=WorkerRoute)


@router.get("/v1/jobs/{job_id}/checkpoints", tags=["history"])
def list_checkpoints(job_id: str, database: DatabaseDep) -> Page[CheckpointView]:
    """List the checkpoints that a job keeps, newest first. Each is in the server's storage or only on a worker's disk."""
    with database.reading() as session:
        views = service.list_checkpoints(session, job_id)
    return Page(data=views, has_more=False, cursor=None)


@internal.post(CHECKPOINT_PATH)
@takes(BodyKind.WORKER_MESSAGE)
def offer_checkpoint(
    *,
    attempt_id: str,
    offer: CheckpointOffer,
    token: TokenDep,
    database: DatabaseDep,
    storage: StorageDep,
    times: TimesDep,
    background: BackgroundTasks,
) -> CheckpointReply:
    """Return the missing files of a checkpoint. If none is missing, mark the checkpoint as stored."""
    with database.writing() as session:
        reply, unneeded = service.offer_checkpoint(session, attempt_id, token, offer, times)
    for path in unneeded:
        background.add_task(storage.delete, path)
    return reply


@internal.put(BLOB_PATH, status_code=201)
@takes(BodyKind.FILE)
async def upload_file(
    *,
    attempt_id: str,
    sha256: str,
    request: Request,
    token: TokenDep,
    database: DatabaseDep,
    storage: StorageDep,
    times: TimesDep,
) -> Response:
    """Store an uploaded file of an offered checkpoint. Return 201, or 200 if it is already stored."""
    is_new = await service.receive_file(
        database,
        storage,
        times,
        attempt_id=attempt_id,
        token=token,
        sha256=sha256,
        body=request.stream(),
    )
    return Response(status_code=201 if is_new else 200)


@internal.get(BLOB_PATH, response_class=StoredFile)
def download_file(
    *,
    attempt_id: str,
    sha256: str,
    token: TokenDep,
    database: DatabaseDep,
    storage: StorageDep,
    times: TimesDep,
) -> StoredFile:
    """Send a file of a checkpoint to an attempt of the same job."""
    with database.writing() as session:
        blob = service.get_file(session, attempt_id, token, sha256, times)
    path = storage.path(blob.path)
    if not path.is_file():
        raise CheckpointFileNotFound(sha256=sha256[:64])
    return StoredFile(path, media_type="application/octet-stream", headers={SHA256_HEADER: sha256})


router.include_router(internal)
