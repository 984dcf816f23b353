"""Rules about workers: who is live, and which models the live ones can run."""

from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.workers import store
from contracts.attempt import Device, WorkerInfo


class WorkerView(BaseModel):
    """A worker as users see it."""

    id: str
    host: str
    pid: int
    queue: str
    device: Device
    models: list[str] | None
    """Model directories it has; null if it can also bring models from the hub."""
    versions: dict[str, str]
    last_seen_at: datetime
    live: bool
    current_job: str | None


def list_workers(session: Session, now: datetime) -> list[WorkerView]:
    """Return every worker that ever said hello."""
    alive_since = now - timedelta(seconds=store.LIVE_SECONDS)
    views = []
    for worker, job_id in store.list_workers(session):
        info = WorkerInfo.model_validate(worker.info)
        views.append(
            WorkerView(
                id=worker.id,
                host=info.host,
                pid=info.pid,
                queue=worker.queue,
                device=info.device,
                models=info.models,
                versions=info.versions,
                last_seen_at=worker.last_seen_at,
                live=worker.last_seen_at >= alive_since,
                current_job=job_id,
            )
        )
    return views


def known_models(session: Session, queue: str, now: datetime) -> set[str] | None:
    """Return the models that the queue's live workers have; None if there is no saying what they could run."""
    workers = store.list_live(session, queue, now)
    if not workers or any(worker.models is None for worker in workers):
        return None
    return {model for worker in workers for model in worker.models or []}


def models_to_take(
    session: Session, asking: WorkerInfo, now: datetime
) -> tuple[list[str] | None, list[str]]:
    """Return (the only models, the models to leave) for a worker: jobs that it lacks but another has are left.

    A model that nobody has is taken all the same, so that its job fails with a reason instead of waiting for ever.
    """
    if asking.models is None:
        return None, []
    others = [
        worker
        for worker in store.list_live(session, asking.queue, now)
        if worker.worker_id != asking.worker_id
    ]
    if any(worker.models is None for worker in others):
        return asking.models, []
    elsewhere = {model for worker in others for model in worker.models or []}
    return None, sorted(elsewhere - set(asking.models))
