"""Routes for errands: public ones to list, show and cancel errands, and internal ones for workers."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.datasets import store as datasets
from app.db.engine import Database, DatabaseDep
from app.db.tables import Dataset, Errand
from app.errands import holding, service, store
from app.errands.outcomes import read_outcome
from app.errands.rows import read_rows
from app.errands.schemas import ErrandView
from app.errands.waiting import ErrandWaitsDep, Open
from app.errors.disk import storage_errors
from app.errors.kinds import DatasetNotFound
from app.http.body_limits import BodyKind, takes
from app.http.negotiation.language import LanguageDep
from app.http.paging import Page
from app.leases.gate import WorkerRoute
from app.storage.data_dir import StorageDep
from app.storage.responses import StoredFile
from contracts.errands.errand import (
    ErrandBeat,
    ErrandClaim,
    ErrandClaimRequest,
    ErrandOutcome,
    ErrandStatus,
    PreviewedLines,
    PreviewRequest,
)
from contracts.protocol.wire import (
    ERRAND_BEAT_PATH,
    ERRAND_CLAIM_PATH,
    ERRAND_DATASET_PATH,
    ERRAND_FINISH_PATH,
    ERRAND_ROWS_PATH,
    ERRAND_TOKEN_HEADER,
    SHA256_HEADER,
)

log = structlog.get_logger(__name__)

router = APIRouter()
public = APIRouter(prefix="/v1/errands", tags=["errands"])
internal = APIRouter(tags=["internal"], include_in_schema=False, route_class=WorkerRoute)

ErrandToken = Annotated[str, Header(alias=ERRAND_TOKEN_HEADER, max_length=200)]


@public.get("")
def list_errands(
    database: DatabaseDep,
    language: LanguageDep,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page[ErrandView]:
    """List errands, newest first. Ended ones are kept for an hour, at most 100."""
    with database.reading() as session:
        return service.list_errands(session, cursor, limit, language)


@public.get("/{errand_id}")
def get_errand(errand_id: str, database: DatabaseDep, language: LanguageDep) -> ErrandView:
    """Return an errand with its progress: a preview of rows, a token count, a model download or a dataset import."""
    with database.reading() as session:
        return service.view(session, service.get_errand(session, errand_id), language)


@public.post("/{errand_id}/cancel")
def cancel_errand(
    errand_id: str, database: DatabaseDep, waits: ErrandWaitsDep, language: LanguageDep
) -> ErrandView:
    """Cancel an errand that is queued or running, for all requests that share it. Its worker stops within a few seconds."""
    with database.writing() as session:
        view = service.view(session, service.cancel_errand(session, errand_id), language)
    waits.notify()
    return view


@internal.post(ERRAND_CLAIM_PATH, response_model=ErrandClaim)
@takes(BodyKind.WORKER_MESSAGE)
async def claim_errand(
    claim: ErrandClaimRequest, request: Request, database: DatabaseDep, waits: ErrandWaitsDep
) -> Response:
    """Assign the worker an errand that it can run, waiting for one if the request asks for it. Return 204 if there is none."""
    limit_bytes = request.app.state.settings.max_upload_bytes

    def claim_once(*, has_waited: bool) -> tuple[ErrandClaim | None, Open]:
        with database.writing() as session:
            claimed = holding.claim_next(
                session, claim, limit_bytes=limit_bytes, has_waited=has_waited
            )
            return claimed, store.list_open(session)

    claimed, seen = await run_in_threadpool(claim_once, has_waited=False)
    if claimed is None and claim.wait_seconds > 0:

        def has_new(found: Open) -> bool:
            return any(
                status is ErrandStatus.QUEUED and seen.get(errand_id) is not ErrandStatus.QUEUED
                for errand_id, status in found.items()
            )

        is_there = await waits.wait(request, has_new, claim.wait_seconds)
        if is_there:
            claimed, _ = await run_in_threadpool(claim_once, has_waited=True)
    if claimed is None:
        return Response(status_code=204)
    log.info("errand claimed", errand_id=claimed.errand_id, worker_id=claim.worker_id)
    return Response(claimed.model_dump_json(), media_type="application/json")


@internal.get(ERRAND_ROWS_PATH, response_model=PreviewedLines)
def download_rows(
    errand_id: str, token: ErrandToken, database: DatabaseDep, storage: StorageDep
) -> Response:
    """Send the rows that a preview needs."""
    errand, dataset = _read_held(database, errand_id, token)
    request = PreviewRequest.model_validate(errand.request)
    with storage_errors():
        rows = read_rows(storage.path(dataset.path), request.rows)
    return Response(PreviewedLines(rows=rows).model_dump_json(), media_type="application/json")


@internal.get(ERRAND_DATASET_PATH, response_class=StoredFile)
def download_dataset(
    errand_id: str, token: ErrandToken, database: DatabaseDep, storage: StorageDep
) -> StoredFile:
    """Send the dataset of an errand."""
    _, dataset = _read_held(database, errand_id, token)
    return StoredFile(
        storage.path(dataset.path),
        media_type="application/jsonl",
        headers={SHA256_HEADER: dataset.sha256},
    )


@internal.post(ERRAND_BEAT_PATH, status_code=204)
@takes(BodyKind.WORKER_MESSAGE)
def renew_errand(
    errand_id: str, beat: ErrandBeat, token: ErrandToken, database: DatabaseDep
) -> None:
    """Renew the lease of an errand, and store its progress."""
    with database.writing() as session:
        holding.renew(session, errand_id, token, beat)


@internal.post(ERRAND_FINISH_PATH, status_code=204)
@takes(BodyKind.ERRAND_RESULT)
async def finish_errand(
    errand_id: str,
    request: Request,
    token: ErrandToken,
    database: DatabaseDep,
    waits: ErrandWaitsDep,
) -> None:
    """End an errand with its result or failure, an ErrandOutcome."""
    body = await request.body()

    def end() -> ErrandOutcome:
        outcome = read_outcome(body)
        with database.writing() as session:
            holding.finish(session, errand_id, token, outcome)
        return outcome

    outcome = await run_in_threadpool(end)
    waits.notify()
    reason = None if outcome.failure is None else outcome.failure.reason
    log.info("errand ended", errand_id=errand_id, reason=reason)


def _read_held(database: Database, errand_id: str, token: str) -> tuple[Errand, Dataset]:
    """Return an errand that the caller holds, and its dataset. Raises ErrandSuperseded, DatasetNotFound."""
    with database.reading() as session:
        errand = holding.get_held(session, errand_id, token)
        dataset = datasets.find_dataset(session, errand.dataset_id or "")
    if dataset is None:
        raise DatasetNotFound(dataset=errand.dataset_id)
    return errand, dataset


router.include_router(public)
router.include_router(internal)
