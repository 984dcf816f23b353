"""Public routes for uploads in parts, in OpenAI's format."""

from functools import partial
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, File, Request, UploadFile
from pydantic import BeforeValidator

from app.config.settings import Settings
from app.datasets.columns import COLUMNS_PARAMETER, ColumnsDep
from app.datasets.conversion.request import Encoding
from app.datasets.receiving import limits_of, require_file
from app.datasets.review.process import review_limits
from app.datasets.validation.runner import ValidatorDep
from app.db.engine import DatabaseDep
from app.http.body_limits import BodyKind, takes
from app.http.headers.idempotency_key import IdempotencyKeyDep
from app.http.headers.retry_number import RetryNumberDep
from app.http.json_body import JsonRoute
from app.http.negotiation.language import LanguageDep
from app.storage.data_dir import StorageDep
from app.uploads import parts, service
from app.uploads.schemas import Completion, NewUpload, PartView, UploadView

_json = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=JsonRoute)
_other = APIRouter(prefix="/v1/uploads", tags=["uploads"])

# Checking a file may take minutes. Waiting uploads must not occupy the threads that answer other requests.
_CHECKING = CapacityLimiter(4)
_WRITING = CapacityLimiter(16)


@_json.post("")
def create_upload(new: NewUpload, request: Request, database: DatabaseDep) -> UploadView:
    """Begin an upload in parts, for a file that is too large for one request."""
    settings: Settings = request.app.state.settings
    with database.writing() as session:
        return service.create_upload(session, new, settings.max_upload_bytes)


@_other.get("/{upload_id}")
def get_upload(upload_id: str, database: DatabaseDep) -> UploadView:
    """Return an upload."""
    with database.reading() as session:
        return service.get_upload(session, upload_id)


@_other.post("/{upload_id}/parts")
@takes(BodyKind.PART_FORM)
async def add_part(
    *,
    upload_id: str,
    data: Annotated[UploadFile, File(), BeforeValidator(require_file)],
    database: DatabaseDep,
    storage: StorageDep,
    key: IdempotencyKeyDep = None,
    retry: RetryNumberDep = None,
) -> PartView:
    """Add a part of at most 64 MiB. Parts may be sent in any order and in parallel.

    Requests with the same Idempotency-Key return the part of the first one. OpenAI's client sends no key, but numbers its retries:
    a retry returns the part with the same content that is already stored.
    """
    add = partial(
        parts.add_part, database, storage, upload_id, data.file, key, is_retry=bool(retry)
    )
    return await to_thread.run_sync(add, limiter=_WRITING)


@_json.post("/{upload_id}/complete", openapi_extra=COLUMNS_PARAMETER)
async def complete_upload(
    *,
    upload_id: str,
    completion: Completion,
    columns: ColumnsDep,
    encoding: Encoding | None = None,
    request: Request,
    database: DatabaseDep,
    storage: StorageDep,
    validator: ValidatorDep,
    language: LanguageDep,
) -> UploadView:
    """Join the parts in the order of `part_ids`, check the rows, and store them as a dataset, whose id is `file.dataset_id`.

    If the file has at least `STEPLINE_BACKGROUND_BYTES`, its rows are checked after the response.
    """
    complete = partial(
        service.complete_upload,
        database,
        storage,
        upload_id,
        completion,
        columns=columns,
        encoding=encoding,
        limits=limits_of(request.app.state.settings),
        review_limits=review_limits(request.app.state.settings),
        background_bytes=validator.settings.background_bytes,
        language=language,
    )
    upload = await to_thread.run_sync(complete, limiter=_CHECKING)
    validator.wake()
    return upload


@_other.post("/{upload_id}/cancel")
def cancel_upload(upload_id: str, database: DatabaseDep, storage: StorageDep) -> UploadView:
    """Cancel an upload and delete its parts."""
    return service.cancel_upload(database, storage, upload_id)


router = APIRouter()
router.include_router(_json)
router.include_router(_other)
