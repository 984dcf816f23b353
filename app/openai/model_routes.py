"""Public routes for models. The list uses OpenAI's format, so its clients can read it."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.db.engine import DatabaseDep
from app.models import (
    paths,  # noqa: F401  # registers the convertor `model_id`
    service,
)
from app.models.schemas import ModelPage, ModelView
from app.openai import models
from app.openai.ids import TUNED
from app.openai.schemas.objects import DeletedModel
from app.storage.data_dir import StorageDep

MOST_LISTED = 1000
"""Maximum number of models on a page. It is also the default, because OpenAI clients read only the first page."""
LONGEST_CURSOR = 300

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def list_models(
    *,
    database: DatabaseDep,
    queue: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")] = None,
    cursor: Annotated[str | None, Query(max_length=LONGEST_CURSOR)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
) -> ModelPage:
    """List the models on the workers, or on the workers of one queue, by id. Models on the hub are not listed.

    Without `queue`, the last page ends with the newest fine-tuned models, at most 1,000, which do not count towards `limit`.
    """
    with database.reading() as session:
        page = service.list_models(session, queue, cursor, limit)
        if queue is None and not page.has_more:
            page = page.model_copy(update={"data": page.data + models.list_tuned(session)})
        return page


@router.get("/{model_id:model_id}")
def get_model(model_id: str, database: DatabaseDep) -> ModelView:
    """Return a model that a worker has, or a fine-tuned model (`ft:…`). The id may contain a slash."""
    with database.reading() as session:
        if model_id.startswith(TUNED):
            return models.get_tuned(session, model_id)
        return service.get_model(session, model_id)


@router.delete("/{model_id:model_id}")
def delete_model(model_id: str, database: DatabaseDep, storage: StorageDep) -> DeletedModel:
    """Delete the adapter of a fine-tuned model. Its job remains. Models on the workers cannot be deleted."""
    storage.give_up_reserve()
    with database.writing() as session:
        deleted = models.delete_tuned(session, model_id)
    for path in deleted:
        storage.delete(path)
    return DeletedModel(id=model_id)
