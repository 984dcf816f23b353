"""The public routes for a dataset's token counts."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from app.db.engine import DatabaseDep
from app.errands.schemas import ErrandView
from app.errands.waiting import ErrandWaitsDep
from app.http.document import LOCATION
from app.http.json_body import JsonRoute
from app.http.negotiation.language import LanguageDep
from app.measurements import service
from app.measurements.schemas import DatasetTokensView, MeasurementBody
from contracts.values.hub_names import ModelName

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=JsonRoute)

DEFAULT_LENGTH = 1024
"""As in a job."""
LONGEST = 2**31

MaxLength = Annotated[int, Query(ge=1, le=LONGEST)]


@router.post(
    "/{dataset_id}/tokens",
    status_code=202,
    response_model=ErrandView,
    responses={
        200: {"model": DatasetTokensView, "description": "The tokens have already been counted."},
        202: {
            "description": "A worker is counting the tokens. GET the same path, or the errand for its progress.",
            "headers": LOCATION,
        },
    },
)
def count_tokens(
    *,
    dataset_id: str,
    body: MeasurementBody,
    database: DatabaseDep,
    waits: ErrandWaitsDep,
    language: LanguageDep,
    max_length: MaxLength = DEFAULT_LENGTH,
) -> Response:
    """Have a worker count the tokens of all rows with a model's own tokenizer and chat template.

    The worker must have the model; nothing is downloaded. The counts are kept with the dataset, and plans use them.
    """
    answer = service.request_measurement(database, dataset_id, body, max_length, language)
    waits.notify()
    return _respond(answer)


@router.get(
    "/{dataset_id}/tokens",
    response_model=DatasetTokensView,
    responses={
        202: {
            "model": ErrandView,
            "description": "A worker is counting the tokens. Send the same request again after Retry-After.",
            "headers": LOCATION,
        }
    },
)
def get_tokens(
    *,
    dataset_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    model: Annotated[ModelName, Query()],
    max_length: MaxLength = DEFAULT_LENGTH,
) -> Response:
    """Return the lengths of a dataset's rows in a model's tokens, and what a job with `max_length` would cut.

    If they have not been counted, the response is 404 `dataset_not_measured`; a POST to the same path starts the count.
    """
    with database.reading() as session:
        answer = service.get_measurement(session, dataset_id, model, max_length, language)
    return _respond(answer)


def _respond(answer: service.Answer) -> Response:
    headers = {"Vary": "Accept-Language", "Cache-Control": "no-cache"}
    content, status = answer.model_dump(mode="json"), 200
    if isinstance(answer, ErrandView):
        headers |= {"Location": f"/v1/errands/{answer.id}", "Retry-After": "1"}
        status = 202
    return JSONResponse(content, status_code=status, headers=headers)
