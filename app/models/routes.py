"""Public routes for models. The list uses OpenAI's format, so its clients can read it."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.convertors import PathConvertor, register_url_convertor

from app.db.engine import DatabaseDep
from app.models import service
from app.models.schemas import ModelPage, ModelView

MOST_LISTED = 1000
"""Also the default, because OpenAI clients read only the first page."""
LONGEST_CURSOR = 300


class _ModelId(PathConvertor):
    """The id of a model, which may contain a slash. Paths that end in `/prefetch` belong to another route."""

    regex = ".*(?<!/prefetch)"


register_url_convertor("model_id", _ModelId())

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def list_models(
    *,
    database: DatabaseDep,
    queue: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")] = None,
    cursor: Annotated[str | None, Query(max_length=LONGEST_CURSOR)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
) -> ModelPage:
    """List the models on the workers, or on the workers of one queue, by id. Models on the hub are not listed."""
    with database.reading() as session:
        return service.list_models(session, queue, cursor, limit)


@router.get("/{model_id:model_id}")
def get_model(model_id: str, database: DatabaseDep) -> ModelView:
    """Return a model that a worker has. The id may contain a slash."""
    with database.reading() as session:
        return service.get_model(session, model_id)
