"""The public route that imports a dataset from the hub, and the internal one that receives its rows from the worker."""

from typing import Annotated

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from app.config.settings import Settings
from app.datasets.columns import choose_columns
from app.datasets.receiving import limits_of
from app.datasets.review.process import review_limits
from app.datasets.validation.runner import ValidatorDep
from app.db.engine import DatabaseDep
from app.errands import holding
from app.errands import service as errands
from app.errands.routes import ErrandToken
from app.errands.schemas import ErrandView
from app.errands.waiting import ErrandWaitsDep
from app.http.body_limits import BodyKind, takes
from app.http.document import LOCATION
from app.http.json_body import JsonRoute
from app.http.negotiation.language import LanguageDep
from app.http.unsafe_text import reject_unsafe
from app.imports import service
from app.imports.schemas import Import
from app.leases.gate import WorkerRoute
from app.storage.data_dir import StorageDep
from app.storage.uploads import receiving
from contracts.errands.errand import ImportRequest
from contracts.protocol.wire import COMMIT_HEADER, ERRAND_DATASET_PATH, SHA256_HEADER

log = structlog.get_logger(__name__)

public = APIRouter(prefix="/v1/dataset-imports", tags=["datasets"], route_class=JsonRoute)
"""A separate router, because a path below `/v1/datasets` could also be the path of a dataset."""
internal = APIRouter(tags=["internal"], include_in_schema=False, route_class=WorkerRoute)

# Checking rows may take minutes, and must not occupy the threads that serve other requests.
_CHECKING = CapacityLimiter(4)


@public.post("", status_code=202, responses={202: {"headers": LOCATION}})
def import_dataset(
    *,
    wanted: Import,
    response: Response,
    database: DatabaseDep,
    waits: ErrandWaitsDep,
    language: LanguageDep,
) -> ErrandView:
    """Import a dataset from the hub. A worker that may use the hub downloads it and sends the rows to the server.

    `GET /v1/errands/{id}` shows the progress and, at the end, the id of the `dataset` and the commit in `source.revision`. The rows are
    checked like those of an uploaded file. Identical requests share one import while it runs, and identical rows result in the same dataset.
    """
    reject_unsafe(wanted)
    choose_columns(wanted.format, wanted.columns, language)
    request = ImportRequest(kind="import", **wanted.model_dump())
    with database.writing() as session:
        errand = service.request_import(session, request)
        view = errands.view(session, errand, language)
    waits.notify()
    response.headers["Location"] = f"/v1/errands/{errand.id}"
    return view


@internal.put(ERRAND_DATASET_PATH, status_code=204)
@takes(BodyKind.FILE)
async def receive_rows(
    *,
    errand_id: str,
    request: Request,
    token: ErrandToken,
    commit: Annotated[str, Header(alias=COMMIT_HEADER, pattern=r"^[0-9a-zA-Z]{1,100}$")],
    sha256: Annotated[str, Header(alias=SHA256_HEADER, max_length=100)],
    database: DatabaseDep,
    storage: StorageDep,
    validator: ValidatorDep,
    waits: ErrandWaitsDep,
) -> None:
    """Store the rows of an import as a dataset, and end the errand with the dataset or with the reason for rejecting them."""

    def check_token() -> None:
        with database.reading() as session:
            holding.get_import(session, errand_id, token)

    await run_in_threadpool(check_token)  # before the body is read
    settings: Settings = request.app.state.settings
    async with receiving(storage, request.stream(), sha256) as draft:
        await run_in_threadpool(service.hold_for_check, database, errand_id, token)

        def store() -> bool:
            draft.file.flush()
            with draft.path.open("rb") as file:
                return service.store_rows(
                    database,
                    storage,
                    errand_id,
                    token,
                    service.Received(file, commit, draft.bytes),
                    limits=limits_of(settings),
                    review_limits=review_limits(settings),
                    background_bytes=settings.background_bytes,
                )

        is_pending = await to_thread.run_sync(store, limiter=_CHECKING)
    if is_pending:
        validator.wake()
    waits.notify()
    log.info("dataset imported or rejected", errand_id=errand_id, bytes=draft.bytes)


router = APIRouter()
router.include_router(public)
router.include_router(internal)
