"""Rules for workers: which are live, and which models they can run."""

from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.workers import store
from contracts.attempt import Device, DeviceCheck, WorkerInfo


class WorkerView(BaseModel):
    """A worker as users see it."""

    id: str
    host: str
    pid: int
    queue: str
    device: Device
    models: list[str] | None
    """Model directories on the worker; null if it can also download models from the hub."""
    versions: dict[str, str]
    device_check: DeviceCheck | None
    """Whether the worker's GPU works. If the GPU has failed, the worker does not claim jobs. Null if the worker has no GPU or has not checked it yet."""
    last_seen_at: datetime
    live: bool
    gpus: int
    """Number of GPUs that it can use for one job: its own, and those of its host that it can borrow."""
    current_job: str | None
    current_gpus: int | None
    """Number of GPUs that its current job uses; null if it is idle."""


def list_workers(session: Session, now: datetime) -> list[WorkerView]:
    """Return every worker that has ever sent a hello."""
    alive_since = now - timedelta(seconds=store.LIVE_SECONDS)
    views = []
    for worker, job_id, gpus in store.list_workers(session):
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
                device_check=info.device_check,
                last_seen_at=worker.last_seen_at,
                live=worker.last_seen_at >= alive_since,
                gpus=info.cards,
                current_job=job_id,
                current_gpus=gpus,
            )
        )
    return views


def known_models(session: Session, queue: str, now: datetime) -> set[str] | None:
    """Return the models of the queue's live workers; None if there is none, or one of them can download models.

    A worker whose device has failed counts too: its device will be checked again, so its jobs can wait for it to recover.
    """
    workers = store.list_live(session, queue, now)
    if not workers or any(worker.models is None for worker in workers):
        return None
    return {model for worker in workers for model in worker.models or []}


def is_able(worker: WorkerInfo) -> bool:
    """Return whether a live worker can run jobs: its device has not failed, or is not checked."""
    return worker.device_check is None or worker.device_check.passed


def list_live(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the live workers of a queue, including those whose devices have failed."""
    return store.list_live(session, queue, now)


def list_ready(session: Session, worker: WorkerInfo, now: datetime) -> list[WorkerInfo]:
    """Return the other workers of the queue that are live, idle, and able to run jobs."""
    return [
        other
        for other in store.list_idle(session, worker.queue, now)
        if other.worker_id != worker.worker_id and is_able(other)
    ]


def list_starters(
    session: Session, queue: str, now: datetime, except_host: str = ""
) -> list[WorkerInfo]:
    """Return a worker for each set of models and number of GPUs with which an idle host can start a job on several GPUs."""
    sharing = store.list_sharing_hosts(session) | {"", except_host}
    found = {
        (worker.cards, None if worker.models is None else tuple(worker.models)): worker
        for worker in store.list_idle(session, queue, now)
        if worker.host_id not in sharing and is_able(worker)
    }
    return list(found.values())


def claimable_models(
    session: Session, claimant: WorkerInfo, now: datetime
) -> tuple[list[str] | None, list[str]]:
    """Return the models whose jobs a worker may claim, as (allowed models or None for all, excluded models).

    If only other workers have the model of a job, the job is left to them. If no worker has the model, any worker may claim the
    job, which then fails with a reason instead of waiting forever. A worker whose device has failed keeps its claim on such
    jobs: they wait until the device works again or the worker is no longer live.
    """
    if claimant.models is None:
        return None, []
    others = [
        worker
        for worker in store.list_live(session, claimant.queue, now)
        if worker.worker_id != claimant.worker_id
    ]
    if any(worker.models is None for worker in others):
        return claimant.models, []
    elsewhere = {model for worker in others for model in worker.models or []}
    return None, sorted(elsewhere - set(claimant.models))
