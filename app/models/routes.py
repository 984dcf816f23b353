"""Public routes of models. The list has the form of OpenAI's, so that its clients can read it."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.db.engine import DatabaseDep
from app.models import service
from app.models.schemas import ModelPage, ModelView

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def list_models(
    database: DatabaseDep,
    queue: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")] = None,
) -> ModelPage:
    """List the models on the workers, or on the workers of one queue. Models on the hub are not listed."""
    with database.reading() as session:
        return service.list_models(session, queue)


@router.get("/{model_id:path}")
def get_model(model_id: str, database: DatabaseDep) -> ModelView:
    """Return a model that a worker has. The id may contain a slash."""
    with database.reading() as session:
        return service.get_model(session, model_id)
