"""Routes for fine-tuning jobs: /v1/fine_tuning/jobs."""

import re
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.orm import Session

from app.config.settings import Settings
from app.db.engine import Database, DatabaseDep
from app.doorbell import Rings, RingsDep
from app.errors.kinds import UnsupportedFilter
from app.http.headers.idempotency_key import IdempotencyKeyDep
from app.http.negotiation.language import LanguageDep
from app.http.paging import ObjectList
from app.jobs import service as own_jobs
from app.jobs.schemas import JobView
from app.openai import ids
from app.openai.error_ids import FineTuningRoute
from app.openai.jobs import checkpoints, events, service
from app.openai.jobs.creation import Options
from app.openai.jobs.retries import SubmissionDep
from app.openai.jobs.service import MetadataFilter
from app.openai.schemas.history import FineTuningCheckpoint, FineTuningEvent
from app.openai.schemas.objects import FineTuningJob
from app.openai.schemas.requests import NewFineTuningJob
from app.storage.data_dir import StorageDep
from contracts.failure import Language

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["openai"], route_class=FineTuningRoute)

_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)
_METADATA_PARAMETER = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "required": False,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "description": "Labels that a job must have, as `metadata[key]=value`; `metadata=null` lists jobs without labels.",
        }
    ]
}


@router.post("")
def create_fine_tuning_job(
    *,
    request: Request,
    new: NewFineTuningJob,
    database: DatabaseDep,
    storage: StorageDep,
    rings: RingsDep,
    language: LanguageDep,
    submission: SubmissionDep,
    key: IdempotencyKeyDep = None,
) -> FineTuningJob:
    """Create a fine-tuning job. `stepline` may contain fields of our own spec.

    A retry by OpenAI's client returns the job that an earlier request with the same body from the same address has created.
    """
    settings: Settings = request.app.state.settings
    job, queue = service.create_job(
        database,
        storage,
        new,
        key=key,
        submission=submission,
        options=Options(settings.model_aliases, settings.wandb),
        language=language,
    )
    if queue is not None:
        rings.add(queue)
    return job


def metadata_filter(request: Request) -> MetadataFilter:
    """Return the labels of `metadata[key]=value`, or the filter of `metadata=null`.

    Raises UnsupportedFilter for any other use of `metadata`.
    """
    labels, is_null = [], False
    for name, value in request.query_params.multi_items():
        match = _METADATA.fullmatch(name)
        if match is not None and match[1] and "\0" not in match[1] + value:
            labels.append((match[1], value))
        elif (name, value) == ("metadata", "null"):
            is_null = True
        elif name.startswith("metadata"):
            raise UnsupportedFilter("metadata", filter=f"{name}={value}"[:200])
    if labels and is_null:
        key, value = labels[0]
        raise UnsupportedFilter("metadata", filter=f"metadata=null&metadata[{key}]={value}"[:200])
    return MetadataFilter(labels, is_null=is_null)


@router.get("", openapi_extra=_METADATA_PARAMETER)
def list_fine_tuning_jobs(
    *,
    database: DatabaseDep,
    language: LanguageDep,
    metadata: Annotated[MetadataFilter, Depends(metadata_filter)],
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ObjectList[FineTuningJob]:
    """List fine-tuning jobs, newest first, including jobs that were submitted through `POST /v1/jobs`."""
    with database.reading() as session:
        return service.list_jobs(session, after, limit, metadata, language)


@router.get("/{ftjob_id}")
def get_fine_tuning_job(
    ftjob_id: str, database: DatabaseDep, language: LanguageDep
) -> FineTuningJob:
    """Return a fine-tuning job."""
    with database.reading() as session:
        return service.get_job(session, ftjob_id, language)


@router.post("/{ftjob_id}/cancel")
def cancel_fine_tuning_job(
    ftjob_id: str, database: DatabaseDep, language: LanguageDep, rings: RingsDep
) -> FineTuningJob:
    """Cancel a job: immediately if it is queued or paused, otherwise once its worker has stopped."""
    return _change(own_jobs.cancel_job, ftjob_id, database, language, rings)


@router.post("/{ftjob_id}/pause")
def pause_fine_tuning_job(
    ftjob_id: str, database: DatabaseDep, language: LanguageDep, rings: RingsDep
) -> FineTuningJob:
    """Pause a job: immediately if it is queued, otherwise once its attempt has written a checkpoint and ended."""
    return _change(own_jobs.pause_job, ftjob_id, database, language, rings)


@router.post("/{ftjob_id}/resume")
def resume_fine_tuning_job(
    ftjob_id: str, database: DatabaseDep, language: LanguageDep, rings: RingsDep
) -> FineTuningJob:
    """Queue a paused job again so that it resumes from its newest checkpoint, or withdraw a pending pause request."""
    return _change(own_jobs.resume_job, ftjob_id, database, language, rings)


@router.get("/{ftjob_id}/events")
def list_fine_tuning_events(
    ftjob_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> ObjectList[FineTuningEvent]:
    """List the events of a job, newest first, with one `metrics` event for each training step."""
    with database.reading() as session:
        return events.list_events(session, ftjob_id, after, limit, language)


@router.get("/{ftjob_id}/checkpoints")
def list_fine_tuning_checkpoints(
    ftjob_id: str,
    database: DatabaseDep,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> ObjectList[FineTuningCheckpoint]:
    """List the checkpoints that a job keeps, newest first."""
    with database.reading() as session:
        return checkpoints.list_checkpoints(session, ftjob_id, after, limit)


def _change(
    action: Callable[[Session, str, Language], tuple[JobView, list[str]]],
    ftjob_id: str,
    database: Database,
    language: Language,
    rings: Rings,
) -> FineTuningJob:
    """Apply an action to a job, and return the job in OpenAI's format."""
    with database.writing() as session:
        job, to_ring = action(session, ids.job_id(ftjob_id), language)
        [view] = service.view_jobs(session, [job])
    rings.add(*to_ring)
    return view
