"""The public route for previews."""

import re
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool

from app.db.engine import DatabaseDep
from app.edge.peers import Slots, peer_of
from app.errands import service as errands
from app.errands.outcomes import read_preview
from app.errands.schemas import ErrandView
from app.errands.waiting import ErrandWaitsDep
from app.http.document import LOCATION
from app.http.negotiation.formats import Formats, refuse_beside
from app.http.negotiation.language import LanguageDep
from app.previews import service, terminal
from contracts.errands.errand import MOST_PREVIEWED_ROWS, MOST_PREVIEWED_TOKENS, PreviewResult
from contracts.values.hub_names import ModelName, Revision

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

FIRST_ROWS = 3
WAIT_SECONDS = 10.0
"""How long a request waits for its preview by default."""
MOST_WAIT_SECONDS = 30.0
FORMATS = Formats(json="application/json", text="text/plain")
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})\"?(?:$|[,;\s])", re.IGNORECASE)

_ROWS = rf"^\d{{1,12}}(,\d{{1,12}}){{0,{MOST_PREVIEWED_ROWS - 1}}}$"


@router.get(
    "/{dataset_id}/preview",
    response_model=PreviewResult,
    responses={
        200: {"content": FORMATS.content},
        202: {
            "model": ErrandView,
            "description": "The preview is not ready yet. Send the same request again after Retry-After.",
            "headers": LOCATION,
        },
    },
)
async def preview_rows(
    *,
    request: Request,
    dataset_id: str,
    database: DatabaseDep,
    waits: ErrandWaitsDep,
    language: LanguageDep,
    model: Annotated[ModelName, Query()],
    rows: Annotated[str | None, Query(pattern=_ROWS)] = None,
    first: Annotated[int | None, Query(ge=1, le=MOST_PREVIEWED_ROWS)] = None,
    max_length: Annotated[int, Query(ge=8, le=MOST_PREVIEWED_TOKENS)] = 1024,
    revision: Annotated[Revision | None, Query()] = None,
    color: bool = True,
    requested_format: Annotated[
        str | None, Query(alias="format", max_length=20), FORMATS.names
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the first rows, or chosen ones (`rows=0,5,7`), as a model's chat template renders them, and show which tokens are trained.

    A worker that has the model renders the rows; nothing is downloaded. The request waits up to 10 seconds, or up to the number of seconds
    in `Prefer: wait=` (at most 30), and then returns 202. `revision` has the meaning of a job's `model_revision`.
    """
    if rows is not None:
        refuse_beside("rows", first=first)
    kind = FORMATS.choose(accept, requested_format)
    ask = partial(
        service.request_preview,
        database,
        dataset_id,
        model,
        rows=None if rows is None else [int(row) for row in rows.split(",")],
        first=first or FIRST_ROWS,
        max_length=max_length,
        revision=revision,
        language=language,
    )
    errand = await run_in_threadpool(ask)
    if not errand.status.is_final:
        waits.notify()
        slots: Slots = request.app.state.slots
        errand_id = errand.id
        with slots.hold(peer_of(request.client)):
            await waits.wait(request, lambda found: errand_id not in found, _wait_seconds(prefer))
    errand, content = await run_in_threadpool(
        service.read_preview, database, errand.id, dataset_id, language
    )
    headers = {"Vary": "Accept, Accept-Language", "Cache-Control": "no-cache"}
    if not content:
        body = await run_in_threadpool(_view, database, errand.id, language)
        headers |= {"Location": f"/v1/errands/{errand.id}", "Retry-After": "1"}
        return JSONResponse(body.model_dump(mode="json"), status_code=202, headers=headers)
    if kind == "json":
        return Response(content, media_type="application/json", headers=headers)

    def render() -> str:
        result = read_preview(content)
        return terminal.render(result, max_length, language, color=color)

    return PlainTextResponse(await run_in_threadpool(render), headers=headers)


def _view(database: DatabaseDep, errand_id: str, language: LanguageDep) -> ErrandView:
    with database.reading() as session:
        return errands.view(session, errands.get_errand(session, errand_id), language)


def _wait_seconds(prefer: str | None) -> float:
    """Return the time in `Prefer: wait=` (RFC 7240), or the default."""
    found = _WAIT.search(prefer or "")
    return WAIT_SECONDS if found is None else min(float(found[1]), MOST_WAIT_SECONDS)
