"""Internal routes for workers. Hello and claim require the worker token; all others require the attempt's token."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Path, Request, Response

from app.artifacts import service as artifacts
from app.attempts.bounds import ReportRoute
from app.attempts.claim import claim_next, receive_hello, write_claim
from app.attempts.finish import finish_attempt
from app.attempts.sync import find_dataset, store_earlier, sync_attempt
from app.db.engine import DatabaseDep
from app.doorbell import DoorbellDep, RingsDep
from app.errors.kinds import DatasetNotFound
from app.http.body_limits import BodyKind, takes
from app.http.headers.bearer import SettingsDep, TokenDep
from app.leases.lease import TimesDep
from app.models import service as models
from app.storage.data_dir import StorageDep
from app.storage.responses import StoredFile
from contracts.attempt import (
    Claim,
    ClaimRequest,
    EarlierRecords,
    EarlierReply,
    FinishReply,
    FinishRequest,
    SyncReply,
    SyncRequest,
    WorkerInfo,
)
from contracts.model_facts import ModelReport
from contracts.protocol.wire import (
    CLAIM_PATH,
    DATASET_PATH,
    EARLIER_PATH,
    FINISH_PATH,
    HELLO_PATH,
    MODELS_PATH,
    SHA256_HEADER,
    SYNC_PATH,
    UPLOAD_PATH,
)
from contracts.record import Ordinal

log = structlog.get_logger(__name__)

router = APIRouter(tags=["internal"], include_in_schema=False, route_class=ReportRoute)


@router.post(HELLO_PATH, status_code=204)
@takes(BodyKind.WORKER_MESSAGE)
def hello(
    worker: WorkerInfo, database: DatabaseDep, times: TimesDep, doorbell: DoorbellDep
) -> None:
    """Record that a worker is online, and end attempts that it no longer runs."""
    with database.writing() as session:
        result = receive_hello(session, worker, times)
    for queue in result.to_ring:
        doorbell.ring(queue)


@router.post(MODELS_PATH, status_code=204)
@takes(BodyKind.WORKER_MESSAGE)
def report_models(report: ModelReport, database: DatabaseDep) -> None:
    """Store which models a worker has. The worker must already have sent a hello."""
    with database.writing() as session:
        models.receive_report(session, report)


@router.post(CLAIM_PATH, response_model=Claim)
@takes(BodyKind.WORKER_MESSAGE)
def claim(
    request: ClaimRequest, database: DatabaseDep, settings: SettingsDep, doorbell: DoorbellDep
) -> Response:
    """Assign the worker the next job in its queue that it may claim. Return 204 if there is none."""
    with database.writing() as session:
        granted = claim_next(session, request, settings)
    for queue in granted.to_ring:
        doorbell.ring(queue)
    if granted.claim is None:
        return Response(status_code=204)
    ids = {"job_id": granted.claim.job_id, "attempt_id": granted.claim.attempt_id}
    log.info("job claimed", worker_id=request.worker.worker_id, **ids)
    return Response(write_claim(granted.claim, request.worker), media_type="application/json")


@router.post(SYNC_PATH, response_model=SyncReply)
@takes(BodyKind.WORKER_MESSAGE)
def sync(
    attempt_id: str, request: SyncRequest, token: TokenDep, database: DatabaseDep, times: TimesDep
) -> Response:
    """Store a running attempt's report, renew its lease, and return whether to continue, pause or cancel."""
    # This is the busiest route. A Response is returned so that FastAPI does not validate the reply in another thread.
    with database.writing() as session:
        reply = sync_attempt(session, attempt_id, token, request, times)
    return Response(reply.model_dump_json(), media_type="application/json")


@router.put(UPLOAD_PATH, status_code=201)
@takes(BodyKind.FILE)
async def upload(
    *,
    attempt_id: str,
    name: str,
    request: Request,
    token: TokenDep,
    database: DatabaseDep,
    storage: StorageDep,
    times: TimesDep,
    sha256: Annotated[str, Header(alias=SHA256_HEADER)],
) -> Response:
    """Store an uploaded artifact. Return 201, or 200 if it is already stored."""
    is_new = await artifacts.receive_artifact(
        database,
        storage,
        times,
        attempt_id=attempt_id,
        token=token,
        name=name,
        announced_sha256=sha256,
        body=request.stream(),
    )
    return Response(status_code=201 if is_new else 200)


@router.post(EARLIER_PATH)
@takes(BodyKind.WORKER_MESSAGE)
def store_earlier_records(
    *,
    attempt_id: str,
    number: Annotated[Ordinal, Path()],
    request: EarlierRecords,
    token: TokenDep,
    database: DatabaseDep,
    times: TimesDep,
) -> EarlierReply:
    """Store records of an earlier attempt that were left in the worker's work directory."""
    with database.writing() as session:
        acked = store_earlier(
            session, attempt_id, token, times, number=number, records=request.records
        )
    return EarlierReply(acked_seq=acked)


@router.post(FINISH_PATH)
@takes(BodyKind.WORKER_MESSAGE)
def finish(
    *,
    attempt_id: str,
    request: FinishRequest,
    token: TokenDep,
    database: DatabaseDep,
    times: TimesDep,
    rings: RingsDep,
) -> FinishReply:
    """End an attempt and settle its job."""
    with database.writing() as session:
        reply, to_ring = finish_attempt(session, attempt_id, token, request, times)
    log.info("attempt ended", attempt_id=attempt_id, job_status=reply.job_status)
    rings.add(*to_ring)
    return reply


@router.get(DATASET_PATH, response_class=StoredFile)
def download_dataset(
    *,
    attempt_id: str,
    dataset_id: str,
    token: TokenDep,
    database: DatabaseDep,
    storage: StorageDep,
    times: TimesDep,
) -> StoredFile:
    """Send a dataset that the attempt's job uses."""
    with database.writing() as session:
        dataset = find_dataset(session, attempt_id, token, dataset_id, times)
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    return StoredFile(
        storage.path(dataset.path),
        media_type="application/jsonl",
        headers={SHA256_HEADER: dataset.sha256},
    )
