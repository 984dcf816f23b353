"""Public routes for datasets."""

from functools import partial
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from app.datasets import service
from app.datasets.columns import COLUMNS_PARAMETER, ColumnsDep
from app.datasets.conversion.request import Limits
from app.datasets.receiving import RAW_BODY, UploadDep
from app.datasets.review import service as reviews
from app.datasets.review.process import review_limits
from app.datasets.review.schemas import DatasetReview
from app.datasets.schemas import DatasetDetail, DatasetView, Deleted, Validation
from app.datasets.validation.runner import ValidatorDep
from app.db.engine import DatabaseDep
from app.http.body_limits import BodyKind, takes
from app.http.document import LOCATION
from app.http.negotiation.language import LanguageDep
from app.http.paging import Page
from app.storage.data_dir import StorageDep
from contracts.dataset.status import DatasetStatus

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

# Reading a file may take minutes. Waiting uploads must not occupy the threads that answer other requests.
_READING = CapacityLimiter(16)
_CONVERTING = CapacityLimiter(4)
# One request at a time, so that two requests for the same dataset do not both review it.
_REVIEWING = CapacityLimiter(1)


async def _review_limits(request: Request) -> Limits:
    return review_limits(request.app.state.settings)


ReviewLimitsDep = Annotated[Limits, Depends(_review_limits)]


@router.post(
    "",
    status_code=201,
    responses={
        200: {
            "model": DatasetDetail | Validation,
            "description": "The same bytes are already stored, or `validate_only` is set.",
            "headers": LOCATION,
        },
        201: {"headers": LOCATION},
        202: {
            "model": DatasetDetail,
            "description": "The file is large and is now being checked; GET the dataset to follow the progress.",
            "headers": LOCATION,
        },
    },
    openapi_extra=RAW_BODY | COLUMNS_PARAMETER,
)
@takes(BodyKind.FILE_FORM)
async def upload_dataset(
    *,
    upload: UploadDep,
    columns: ColumnsDep,
    validate_only: bool = False,
    response: Response,
    database: DatabaseDep,
    storage: StorageDep,
    limits: ReviewLimitsDep,
    validator: ValidatorDep,
    language: LanguageDep,
) -> DatasetDetail | Validation:
    """Upload JSON, JSONL, CSV, TSV, Parquet or Arrow, optionally compressed with gzip or zstd or in a ZIP archive.

    Each row's columns determine its format, unless `format` and `columns` specify it. Returns 201, or 200 if the same
    bytes are already stored with the same choice. For a file of at least `STEPLINE_BACKGROUND_BYTES`, the response is sent immediately,
    with 202 and the status `validating`, which later becomes `ready` or `failed`. With `validate_only`, nothing is stored, and the response
    describes the dataset that would be created.
    """
    limiter = _CONVERTING if upload.needs_conversion() else _READING
    if validate_only:
        check = partial(service.validate_dataset, storage, upload, columns, limits, language)
        response.status_code = 200
        return await to_thread.run_sync(check, limiter=limiter)
    add = partial(
        service.add_dataset,
        database,
        storage,
        upload,
        columns=columns,
        limits=limits,
        language=language,
        background_bytes=validator.settings.background_bytes,
    )
    dataset, is_new = await to_thread.run_sync(add, limiter=limiter)
    response.status_code = 201 if is_new else 200
    if dataset.status is DatasetStatus.VALIDATING:
        response.status_code = 202
        validator.wake()
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return dataset


@router.get("")
def list_datasets(
    database: DatabaseDep,
    language: LanguageDep,
    search: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page[DatasetView]:
    """List datasets, newest first. `search` matches part of the file name or id."""
    with database.reading() as session:
        text = search.strip().replace("\0", "")
        return service.list_datasets(session, text, cursor, limit, language)


@router.get("/{dataset_id}")
def get_dataset(
    dataset_id: str, database: DatabaseDep, storage: StorageDep, language: LanguageDep
) -> DatasetDetail:
    """Return a dataset with its first rows and its review, its progress while it is `validating`, or its problems if it `failed`."""
    with database.reading() as session:
        return service.get_dataset(session, storage, dataset_id, language)


@router.get("/{dataset_id}/review")
async def get_review(
    dataset_id: str,
    database: DatabaseDep,
    storage: StorageDep,
    limits: ReviewLimitsDep,
    language: LanguageDep,
) -> DatasetReview:
    """Return the warnings and statistics of a dataset. A dataset that an earlier version stored is reviewed first."""
    review = partial(reviews.get_review, database, storage, dataset_id, limits, language)
    return await to_thread.run_sync(review, limiter=_REVIEWING)


@router.delete("/{dataset_id}")
def delete_dataset(dataset_id: str, database: DatabaseDep, storage: StorageDep) -> Deleted:
    """Delete a dataset that no unfinished job uses. Disk space is freed before the response is sent."""
    storage.give_up_reserve()
    with database.writing() as session:
        paths = service.delete_dataset(session, dataset_id)
    for path in paths:
        storage.delete(path)
    return Deleted(id=dataset_id)
