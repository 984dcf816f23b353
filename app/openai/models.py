"""Fine-tuned models: each is the adapter of a finished job. The package app.models handles the models on the workers."""

from sqlalchemy.orm import Session

from app.artifacts import store as artifacts
from app.db.tables import Job
from app.errors.kinds import ModelNotDeletable, ModelNotFound
from app.jobs import service as jobs
from app.models import service as base_models
from app.models.schemas import ModelView, details_of
from app.openai import ids, store
from contracts.job import load_stored_spec
from contracts.protocol.wire import ADAPTER_ARTIFACT

MOST_LISTED = 1000


def list_tuned(session: Session) -> list[ModelView]:
    """Return the newest fine-tuned models, at most 1,000."""
    return [_view(job) for job in store.list_tuned(session, MOST_LISTED)]


def get_tuned(session: Session, name: str) -> ModelView:
    """Return a fine-tuned model. Raises ModelNotFound."""
    return _view(_find(session, name))


def delete_tuned(session: Session, name: str) -> list[str]:
    """Delete the adapter of a fine-tuned model; its job remains. Return the paths of the files to delete.

    Raises ModelNotFound, or ModelNotDeletable for a model that workers have.
    """
    if not name.startswith(ids.TUNED):
        base_models.get_model(session, name)
        raise ModelNotDeletable(model=name[:200])
    job = _find(session, name)
    jobs.lock_job(session, job.id)
    return artifacts.delete_named(session, job.id, ADAPTER_ARTIFACT)


def _find(session: Session, name: str) -> Job:
    digits = name.rpartition(":")[2]
    if digits.isascii() and digits.isalnum() and len(digits) == ids.SHOWN_DIGITS:
        for job in store.find_tuned(session, digits):
            if _name(job) == name:
                return job
    raise ModelNotFound(model=name[:200])


def _name(job: Job) -> str:
    spec = load_stored_spec(job.spec)
    return ids.tuned_model(spec.model, spec.name, job.id)


def _view(job: Job) -> ModelView:
    return ModelView(
        id=_name(job),
        created=int((job.ended_at or job.created_at).timestamp()),
        owned_by=ids.ORGANIZATION,
        available=False,
        workers=[],
        base_model=job.model,
        job=job.id,
        adapter_file=ids.adapter_file(job.id),
        **details_of(None),
    )
