"""Rules for prefetches: which workers may download."""

from sqlalchemy.orm import Session

from app.db.tables import Errand
from app.errands import service as errands
from app.errors.kinds import HubNotEnabled, WorkersTooOld
from app.models import service as models
from contracts.errands.errand import ErrandKind, PrefetchRequest

MOST_NAMED = 20


def request_prefetch(session: Session, model: str, revision: str | None) -> Errand:
    """Create the errand that downloads a model, or return the open one. Raises HubNotEnabled or WorkersTooOld."""
    live = [each.worker for each in models.list_installed(session)]
    if not any(ErrandKind.PREFETCH in worker.errands for worker in live):
        old = [worker.worker_id for worker in live if worker.models is None and not worker.errands]
        if old:
            raise WorkersTooOld(workers=", ".join(old[:MOST_NAMED]))
        names = ", ".join(worker.worker_id for worker in live[:MOST_NAMED]) or "-"
        raise HubNotEnabled(workers=names)
    request = PrefetchRequest(kind="prefetch", model=model, revision=revision)
    return errands.create_errand(session, request)
