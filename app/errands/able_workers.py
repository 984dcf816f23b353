"""Determines which workers can run an errand that needs a model. Only a prefetch downloads models."""

from sqlalchemy.orm import Session

from app.errors.kinds import ModelNotInstalled, WorkersTooOld
from app.models import service as models
from app.models.checks import guess_model
from contracts.failure import Language

MOST_NAMED = 20
"""Maximum number of workers named in an error, and of models named per worker."""


def require_worker(session: Session, kind: str, model: str, language: Language) -> None:
    """Raise ModelNotInstalled or WorkersTooOld if no live worker that has the model runs errands of this kind.

    `kind` is the errand's kind as named in a worker's hello.
    """
    installed = models.list_installed(session)
    having = [each.worker for each in installed if model in each.models]
    if any(kind in worker.errands for worker in having):
        return
    if having:
        names = ", ".join(worker.worker_id for worker in having[:MOST_NAMED])
        raise WorkersTooOld("model", workers=names)
    named = "; ".join(
        f"{each.worker.worker_id}: {', '.join(each.models[:MOST_NAMED]) or '-'}"
        for each in installed[:MOST_NAMED]
    )
    known = {name for each in installed for name in each.models}
    raise ModelNotInstalled(
        "model", model=model, models=named or "-", guess=guess_model(model, known, language)
    )
