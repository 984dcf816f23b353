"""The public route that downloads a model to a worker."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Response

from app.db.engine import DatabaseDep
from app.errands import service as errands
from app.errands.schemas import ErrandView
from app.errands.waiting import ErrandWaitsDep
from app.http.document import LOCATION
from app.http.json_body import JsonRoute
from app.http.negotiation.language import LanguageDep
from app.prefetches import service
from contracts.base import Strict
from contracts.values.hub_names import ModelName, Revision

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)


class Prefetch(Strict):
    """Which version of a model to download."""

    revision: Revision | None = None
    """Commit, tag or branch; null downloads the newest commit."""


@router.post(
    "/{model_id:path}/prefetch",
    status_code=202,
    responses={202: {"headers": LOCATION}},
)
def prefetch_model(
    *,
    model_id: Annotated[ModelName, Path()],
    prefetch: Annotated[Prefetch | None, Body()] = None,
    response: Response,
    database: DatabaseDep,
    waits: ErrandWaitsDep,
    language: LanguageDep,
) -> ErrandView:
    """Download a model from the hub to a worker that may use the hub. `GET /v1/errands/{id}` shows the progress.

    Identical requests share one download while it runs.
    """
    with database.writing() as session:
        revision = prefetch.revision if prefetch else None
        errand = service.request_prefetch(session, model_id, revision)
        view = errands.view(session, errand, language)
    waits.notify()
    response.headers["Location"] = f"/v1/errands/{errand.id}"
    return view
