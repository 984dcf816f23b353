"""The public route for a job's stream."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.edge.peers import hold_slot
from app.http.document import events
from app.http.negotiation.language import LanguageDep
from app.series.line import Place
from app.stream.schemas import StreamEvent
from app.stream.streams import StreamResponse, Streams

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])

Cursor = Annotated[str | None, Query(max_length=200)]
NOW = "now"
"""Accepted instead of a cursor to skip the history and stream only new events."""


@router.get(
    "/stream",
    dependencies=[Depends(hold_slot)],
    response_class=StreamingResponse,
    responses={
        200: {"content": events(StreamEvent)},
        204: {"description": "The job has ended, and there are no events after Last-Event-ID."},
    },
)
async def stream_job(
    *,
    job_id: str,
    request: Request,
    language: LanguageDep,
    since: Cursor = None,
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """Stream a job's events as Server-Sent Events, from its start or a given place until it ends."""
    streams: Streams = request.app.state.streams
    place, has_ended = await streams.find_end(job_id)
    begin = (
        None
        if since == NOW and not last_event_id
        else Place.decode(last_event_id or since, "since")
    )
    if last_event_id and has_ended and begin is not None and begin.covers(place):
        return Response(status_code=204)
    return StreamResponse(
        streams.listen(job_id, begin, place, language),
        streams.send_seconds,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
