"""Public routes for job history."""

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.db.engine import DatabaseDep
from app.history import service
from app.history.export import ExportQuery, csv_lines, ndjson_lines
from app.history.loss import LossQuery
from app.history.metrics import MetricsQuery
from app.history.schemas import (
    AttemptView,
    EventView,
    LogLine,
    LossPage,
    MetricsView,
    WindowPage,
)
from app.http.document import tagged
from app.http.negotiation.formats import Formats, refuse_beside
from app.http.negotiation.language import LanguageDep
from app.http.paging import Page
from app.series.line import FAR, Place

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])

Cursor = Annotated[str | None, Query(max_length=200)]
Accept = Annotated[str | None, Header(include_in_schema=False)]
IfNoneMatch = Annotated[str | None, Header()]
LOSS = Formats(json="application/json", csv="text/csv", text="text/plain")
METRICS = Formats(json="application/json", csv="text/csv", ndjson="application/x-ndjson")
LOGS = Formats(json="application/json", text="text/plain")
FormatName = Query(alias="format", max_length=20)


MaxPoints = Annotated[int, Query(ge=10, le=100_000)]


@router.get("/loss", response_model=LossPage | WindowPage, responses=tagged(LOSS.content))
def get_loss(
    *,
    job_id: str,
    database: DatabaseDep,
    since: Cursor = None,
    limit: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    max_points: MaxPoints | None = None,
    window: Annotated[int, Query(ge=1, le=1_000_000_000)] | Literal["auto"] | None = None,
    accept: Accept = None,
    requested_format: Annotated[str | None, FormatName, LOSS.names] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the loss curve across all attempts: every step, sampled points, window means, or a text chart."""
    kind = LOSS.choose(accept, requested_format)
    if kind == "text":
        refuse_beside("format=text", since=since, limit=limit, max_points=max_points, window=window)
    if window is not None:
        refuse_beside("window", since=since, limit=limit, max_points=max_points)
    if max_points is not None:
        refuse_beside("max_points", limit=limit)
    query = LossQuery(kind, since, limit, max_points, window)
    with database.reading() as session:
        if kind == "text":
            return PlainTextResponse(service.draw_loss(session, job_id))
        tag, page = service.get_loss(session, job_id, query, if_none_match)
    headers = _tagged(tag)
    if page is None:
        return Response(status_code=304, headers=headers)
    if kind == "csv":
        return PlainTextResponse(service.loss_csv(page), media_type="text/csv", headers=headers)
    body = json.dumps(page, allow_nan=False)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/metrics", response_model=MetricsView, responses=tagged(METRICS.content))
def get_metrics(
    *,
    job_id: str,
    request: Request,
    database: DatabaseDep,
    names: Annotated[str | None, Query(max_length=2000)] = None,
    from_step: Annotated[int, Query(ge=0, le=FAR)] = 0,
    to_step: Annotated[int | None, Query(ge=0, le=FAR)] = None,
    max_points: MaxPoints = 1000,
    since: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    ghosts: bool = False,
    times: bool = False,
    accept: Accept = None,
    requested_format: Annotated[str | None, FormatName, METRICS.names] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return series in columns: sampled for a plot or, with `since`, only new points. CSV and NDJSON return records."""
    chosen = None if names is None else tuple(filter(None, names.split(",")))
    kind = METRICS.choose(accept, requested_format)
    query = MetricsQuery(chosen, from_step, to_step, max_points, since, limit, ghosts, times)
    if kind != "json":
        params = request.query_params
        refuse_beside(
            f"format={kind}",
            max_points=params.get("max_points"),
            limit=params.get("limit"),
            ghosts=ghosts,
        )
        with database.reading() as session:
            columns = service.list_names(session, job_id, chosen)
        export = ExportQuery(columns, query.bounds, Place.decode(since, "since"))
        lines = {"csv": csv_lines, "ndjson": ndjson_lines}[kind]
        return StreamingResponse(
            lines(database, job_id, export), media_type=METRICS.media_types[kind]
        )
    with database.reading() as session:
        tag, view = service.get_metrics(session, job_id, query, if_none_match)
    headers = _tagged(tag)
    if view is None:
        return Response(status_code=304, headers=headers)
    body = json.dumps(view, allow_nan=False, separators=(",", ":"))
    return Response(body, media_type="application/json", headers=headers)


def _tagged(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Vary": "Accept", "Cache-Control": "no-cache"}


@router.get("/events")
def list_events(
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[EventView]:
    """Return a job's events, oldest first."""
    with database.reading() as session:
        return service.list_events(session, job_id, cursor, limit, language)


@router.get("/logs", response_model=Page[LogLine], responses={200: {"content": LOGS.content}})
def list_logs(
    *,
    job_id: str,
    database: DatabaseDep,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    accept: Accept = None,
    requested_format: Annotated[str | None, FormatName, LOGS.names] = None,
) -> Response:
    """Return the training process's output and log records: one page as JSON, or everything as plain text."""
    kind = LOGS.choose(accept, requested_format)
    with database.reading() as session:
        if kind == "text":
            lines = service.get_whole_log(session, job_id)
            return PlainTextResponse("".join(f"{line}\n" for line in lines))
        page = service.list_logs(session, job_id, cursor, limit)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/attempts")
def list_attempts(job_id: str, database: DatabaseDep, language: LanguageDep) -> Page[AttemptView]:
    """Return a job's attempts, oldest first."""
    with database.reading() as session:
        views = service.list_attempts(session, job_id, language)
    return Page(data=views, has_more=False, cursor=None)
