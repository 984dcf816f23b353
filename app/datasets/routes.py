"""Public routes for datasets."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, UploadFile
from pydantic import BeforeValidator

from app.datasets import service
from app.datasets.columns import COLUMNS_PARAMETER, ColumnsDep
from app.datasets.service import DatasetDetail, DatasetView, Deleted
from app.db.engine import DatabaseDep
from app.http.body_limits import BodyKind, takes
from app.http.document import LOCATION
from app.http.negotiation.language import LanguageDep
from app.http.paging import Page
from app.storage.data_dir import StorageDep
from contracts.field_error import FieldProblem, field_error

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


def _require_file(part: Any) -> Any:
    """If the form field is not a file, reject it with our message instead of the framework's."""
    if isinstance(part, str):
        raise field_error(FieldProblem.NOT_A_FILE)
    return part


@router.post(
    "",
    status_code=201,
    responses={
        200: {
            "model": DatasetDetail,
            "description": "The same bytes are already stored.",
            "headers": LOCATION,
        },
        201: {"headers": LOCATION},
    },
    openapi_extra=COLUMNS_PARAMETER,
)
@takes(BodyKind.FILE_FORM)
def upload_dataset(
    *,
    file: Annotated[UploadFile, BeforeValidator(_require_file)],
    columns: ColumnsDep,
    response: Response,
    database: DatabaseDep,
    storage: StorageDep,
    language: LanguageDep,
) -> DatasetDetail:
    """Upload a JSON array or JSONL file. Returns 201, or 200 if the same bytes are already stored.

    The columns of each row determine its format, unless `format` and `columns` choose it.
    """
    dataset, is_new = service.add_dataset(
        database, storage, file.file, file.filename or "", columns=columns, language=language
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return dataset


@router.get("")
def list_datasets(
    database: DatabaseDep,
    search: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page[DatasetView]:
    """List datasets, newest first. `search` is part of the file's name or of the id."""
    with database.reading() as session:
        return service.list_datasets(session, search.strip().replace("\0", ""), cursor, limit)


@router.get("/{dataset_id}")
def get_dataset(dataset_id: str, database: DatabaseDep, storage: StorageDep) -> DatasetDetail:
    """Return a dataset with its first rows."""
    with database.reading() as session:
        return service.get_dataset(session, storage, dataset_id)


@router.delete("/{dataset_id}")
def delete_dataset(dataset_id: str, database: DatabaseDep, storage: StorageDep) -> Deleted:
    """Delete a dataset that no unfinished job uses. Disk space is freed before the response is sent."""
    storage.give_up_reserve()
    with database.writing() as session:
        path = service.delete_dataset(session, dataset_id)
    storage.delete(path)
    return Deleted(id=dataset_id)
