"""Routes for files: /v1/files."""

from functools import partial
from typing import Annotated, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator

from app.datasets.conversion.request import Encoding
from app.datasets.receiving import limits_of, require_file
from app.datasets.review.process import review_limits
from app.datasets.upload import Upload
from app.datasets.validation.runner import ValidatorDep
from app.db.engine import DatabaseDep
from app.files import service as files
from app.files.schemas import FilePurpose, FileView
from app.http.body_limits import BodyKind, takes
from app.http.document import FILE_PARAMETERS, file_answers
from app.http.negotiation.language import LanguageDep
from app.http.paging import ObjectList, list_objects
from app.openai import file_intake, written_files
from app.openai.schemas.objects import DeletedFile
from app.storage.data_dir import StorageDep
from app.storage.responses import StoredFile
from contracts.field_error import OneOf

router = APIRouter(prefix="/v1/files", tags=["openai"])

BYTES = "application/octet-stream"
# Checking a file may take minutes. Waiting uploads must not occupy the threads that answer other requests.
_CHECKING = CapacityLimiter(4)


@router.post("")
@takes(BodyKind.FILE_FORM)
async def create_file(
    *,
    file: Annotated[UploadFile, File(), BeforeValidator(require_file)],
    purpose: Annotated[Literal["fine-tune"], OneOf(), Form()],  # noqa: ARG001  # only this value is accepted
    anchor: Annotated[  # noqa: ARG001  # only this value is accepted
        Literal["created_at"] | None, OneOf(), Form(alias="expires_after[anchor]")
    ] = None,
    seconds: Annotated[
        int | None, Form(alias="expires_after[seconds]", ge=3600, le=30 * 24 * 3600)
    ] = None,
    encoding: Encoding | None = None,
    request: Request,
    database: DatabaseDep,
    storage: StorageDep,
    validator: ValidatorDep,
    language: LanguageDep,
) -> FileView:
    """Upload training or validation rows in any format of `POST /v1/datasets`.

    The rows are checked before the response, and a file with invalid rows is rejected with 400. A file of at least
    `STEPLINE_BACKGROUND_BYTES` is checked later: its status is `uploaded`, then `processed` or `error`.
    """
    settings = request.app.state.settings
    add = partial(
        file_intake.add_file,
        database,
        storage,
        Upload(file.file, file.filename or "", encoding, limits_of(settings)),
        limits=review_limits(settings),
        background_bytes=validator.settings.background_bytes,
        seconds=seconds,
        language=language,
    )
    added = await to_thread.run_sync(add, limiter=_CHECKING)
    validator.wake()
    return added


@router.get("")
def list_files(
    *,
    database: DatabaseDep,
    language: LanguageDep,
    purpose: Annotated[FilePurpose | None, OneOf()] = None,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Annotated[Literal["asc", "desc"], OneOf()] = "desc",
) -> ObjectList[FileView]:
    """List uploaded files, newest first unless `order` is `asc`. Files that jobs have written are not listed."""
    if purpose == "fine-tune-results":
        return list_objects([], has_more=False)
    with database.reading() as session:
        views, has_more = files.list_files(
            session, after, limit, language, is_ascending=order == "asc"
        )
    return list_objects(views, has_more=has_more)


@router.get("/{file_id}")
def get_file(file_id: str, database: DatabaseDep, language: LanguageDep) -> FileView:
    """Return a file."""
    written = written_files.find_view(database, file_id)
    if written is not None:
        return written
    with database.reading() as session:
        return files.get_file(session, file_id, language)


@router.get(
    "/{file_id}/content",
    response_class=StoredFile,
    responses=file_answers(BYTES),
    openapi_extra=FILE_PARAMETERS,
)
def get_file_content(file_id: str, database: DatabaseDep, storage: StorageDep) -> Response:
    """Download the rows of a file as JSONL, as they were stored after the check, or a job's metrics or adapter."""
    results = written_files.find_results(database, file_id)
    if results is not None:
        return StreamingResponse(results, media_type="text/csv")
    with database.reading() as session:
        adapter = written_files.find_adapter(session, file_id)
        if adapter is not None:
            path, name = adapter.path, adapter.name
        else:
            path, name = file_intake.find_content(session, file_id)
    return StoredFile(storage.path(path), filename=name, media_type=BYTES)


@router.delete("/{file_id}")
def delete_file(file_id: str, database: DatabaseDep, storage: StorageDep) -> DeletedFile:
    """Delete a file. Its dataset is deleted with its last file, unless the dataset was stored before its first file.

    A dataset that an unfinished job uses cannot be deleted.
    """
    written_files.reject_deletion(file_id)
    storage.give_up_reserve()
    with database.writing() as session:
        paths = files.delete_file(session, file_id)
    for path in paths:
        storage.delete(path)
    return DeletedFile(id=file_id)
