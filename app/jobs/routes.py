"""Public routes for jobs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from app.db.engine import DatabaseDep, database_now
from app.doorbell import RingsDep
from app.edge.peers import Slots, peer_of
from app.errors.base import ErrorBody
from app.errors.kinds import BadLabelFilter
from app.http.document import LOCATION, tagged
from app.http.headers.etags import holds
from app.http.headers.idempotency_key import IdempotencyKeyDep
from app.http.json_body import JsonRoute
from app.http.negotiation.language import LanguageDep
from app.http.times import Moment
from app.jobs import edits, service
from app.jobs.listing.cursors import MOST_CHARACTERS
from app.jobs.requests import etags
from app.jobs.requests.waiting import Waits
from app.jobs.schemas import (
    DeletedJob,
    JobEdit,
    JobFilter,
    JobNamePage,
    JobPage,
    JobSort,
    JobView,
    Plan,
)
from app.jobs.submission import planning, submit
from app.jobs.submission.job_data import read_rows
from app.presets.service import SubmittedSpec
from app.storage.data_dir import StorageDep
from contracts.field_error import OneOf
from contracts.job import JobStatus

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JsonRoute)
names_router = APIRouter(prefix="/v1/job-names", tags=["jobs"])
"""A separate router, because a path below `/v1/jobs` could also be the path of a job."""

MOST_NAMES = 1000
"""Maximum number of jobs in a list of names."""
_ARCHIVED: dict[str, bool | None] = {"false": False, "true": True, "any": None}


@router.post(
    "",
    status_code=201,
    response_model=JobView,
    responses={
        200: {"model": Plan, "description": "With dry_run: the job's plan."},
        201: {"headers": LOCATION},
    },
)
def create_job(
    *,
    spec: SubmittedSpec,
    database: DatabaseDep,
    rings: RingsDep,
    language: LanguageDep,
    storage: StorageDep,
    dry_run: bool = False,
    require_fit: bool = False,
    key: IdempotencyKeyDep = None,
) -> Response:
    """Submit a job. Requests with the same Idempotency-Key return the same job. dry_run only checks the spec.

    With require_fit, the job is rejected unless it fits the memory of a worker that is online.
    """
    with database.reading() as session:
        sample = read_rows(session, storage, spec)
        if dry_run:
            now = database_now(session)
            plan = planning.plan_job(session, spec, language, now, sample).plan
            if require_fit:
                planning.require_fit(plan)
            return Response(plan.model_dump_json(), media_type="application/json")
    with database.writing() as session:
        answer, is_new = submit.submit_job(
            session, spec, key, language, sample=sample, require_fit=require_fit
        )
    if is_new:
        rings.add(spec.queue)
    location = {"Location": f"/v1/jobs/{answer['id']}"}
    return JSONResponse(answer, status_code=201, headers=location)


def chosen_jobs(
    *,
    search: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[list[Annotated[JobStatus, OneOf()]], Query(max_length=10)] = [],  # noqa: B006  # FastAPI copies it
    label: Annotated[list[str], Query(max_length=16)] = [],  # noqa: B006  # FastAPI copies it
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    archived: Annotated[Literal["false", "true", "any"], OneOf()] = "false",
    sort: Annotated[JobSort, OneOf()] = JobSort.NEWEST,
) -> JobFilter:
    """Return the filter and the order specified by a query. Raises BadLabelFilter."""
    pairs = [text.partition(":") for text in label]
    if any(not key or "\0" in key + value for key, _, value in pairs):
        raise BadLabelFilter("label")
    return JobFilter(
        search=search.strip().replace("\0", ""),
        statuses=status,
        labels=[(key, value) for key, colon, value in dict.fromkeys(pairs) if colon],
        label_keys=[key for key, colon, _ in pairs if not colon],
        created_after=created_after,
        created_before=created_before,
        archived=_ARCHIVED[archived],
        sort=sort,
    )


ChosenJobs = Annotated[JobFilter, Depends(chosen_jobs)]
Cursor = Annotated[str | None, Query(max_length=MOST_CHARACTERS)]


@router.get("")
def list_jobs(
    *,
    database: DatabaseDep,
    language: LanguageDep,
    chosen: ChosenJobs,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    counts: bool = False,
) -> JobPage:
    """List jobs, newest first unless `sort` says otherwise. Each `label` is `key:value`, or `key` for any value; a job must have all of them. With `counts`, also count the matching jobs."""
    with database.reading() as session:
        page = service.list_jobs(session, chosen, cursor, limit, language)
        return page.model_copy(
            update={"counts": service.count_jobs(session, chosen) if counts else None}
        )


@names_router.get("")
def list_job_names(
    *,
    database: DatabaseDep,
    chosen: ChosenJobs,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MOST_NAMES)] = MOST_NAMES,
) -> JobNamePage:
    """List only the ids and names of jobs, for actions on many jobs. Filters, order and cursors work as in `GET /v1/jobs`."""
    with database.reading() as session:
        return service.list_names(session, chosen, cursor, limit)


@router.get("/{job_id}", response_model=JobView, responses=tagged())
async def get_job(
    *,
    request: Request,
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    wait: Annotated[float, Query(ge=0, le=60)] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return a job. With `wait`, wait up to that many seconds for the job to change."""

    def read() -> JobView:
        with database.reading() as session:
            return service.get_job(session, job_id, language)

    slots: Slots = request.app.state.slots
    job = await run_in_threadpool(read)
    if wait > 0 and not job.status.is_final and _is_known(job, if_none_match):
        waits: Waits = request.app.state.waits
        with slots.hold(peer_of(request.client)):
            await waits.wait_for_change(request, job_id, job.version, wait)
        job = await run_in_threadpool(read)
    tag = etags.tag_of(job)
    headers = {"ETag": tag, "Vary": "Accept-Language", "Cache-Control": "no-cache"}
    if holds(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return Response(job.model_dump_json(), media_type="application/json", headers=headers)


@router.patch(
    "/{job_id}",
    response_model=JobView,
    responses={
        200: tagged()[200],
        412: {
            "model": ErrorBody,
            "description": "The job has been edited since the version in If-Match.",
        },
    },
)
def edit_job(
    *,
    job_id: str,
    edit: JobEdit,
    database: DatabaseDep,
    language: LanguageDep,
    rings: RingsDep,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Change a job's name, labels, notes, archived flag or priority. The submitted spec does not change.

    With If-Match, the edit is rejected if one of these fields has changed since the job was read.
    """
    with database.writing() as session:
        job, to_ring = edits.edit_job(session, job_id, edit, if_match, language)
    rings.add(*to_ring)
    headers = {"ETag": etags.tag_of(job), "Vary": "Accept-Language"}
    return Response(job.model_dump_json(), media_type="application/json", headers=headers)


@router.post("/{job_id}/cancel")
def cancel_job(
    *,
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    rings: RingsDep,
) -> JobView:
    """Cancel a job: immediately if it is queued or paused, otherwise once its worker has stopped."""
    with database.writing() as session:
        job, to_ring = service.cancel_job(session, job_id, language)
    rings.add(*to_ring)
    return job


@router.post("/{job_id}/pause")
def pause_job(
    *,
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    rings: RingsDep,
) -> JobView:
    """Pause a job: immediately if it is queued, otherwise once its attempt has written a checkpoint and ended."""
    with database.writing() as session:
        job, to_ring = service.pause_job(session, job_id, language)
    rings.add(*to_ring)
    return job


@router.post("/{job_id}/resume")
def resume_job(
    *,
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    rings: RingsDep,
) -> JobView:
    """Queue a paused job again so that it resumes from its newest checkpoint, or withdraw a pending pause request."""
    with database.writing() as session:
        job, to_ring = service.resume_job(session, job_id, language)
    rings.add(*to_ring)
    return job


@router.post("/{job_id}/retry")
def retry_job(
    *,
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    rings: RingsDep,
) -> JobView:
    """Queue a failed or cancelled job again. It resumes from its newest checkpoint, or starts over if it has none."""
    with database.writing() as session:
        job, to_ring = service.retry_job(session, job_id, language)
    rings.add(*to_ring)
    return job


@router.delete("/{job_id}")
def delete_job(
    *,
    job_id: str,
    database: DatabaseDep,
    storage: StorageDep,
    rings: RingsDep,
) -> DeletedJob:
    """Delete a job that is not running, with its history and files. Disk space is freed before the response is sent."""
    storage.give_up_reserve()
    with database.writing() as session:
        to_ring = service.delete_job(session, job_id)
    rings.add(*to_ring)
    storage.delete_job(job_id)
    return DeletedJob(id=job_id)


def _is_known(job: JobView, if_none_match: str | None) -> bool:
    """Return whether to wait for the next change: True if the caller already has the current state or sent no ETag."""
    return if_none_match is None or holds(if_none_match, etags.tag_of(job))
