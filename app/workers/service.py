"""Rules for workers: which are live, and which models they can run."""

from collections.abc import Collection
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
    """Model directories on the worker; null if it can also download models."""
    versions: dict[str, str]
    device_check: DeviceCheck | None
    """Whether the worker's GPU works. If the GPU has failed, the worker does not claim jobs. Null if the worker has no GPU or has not checked it
    yet."""
    last_seen_at: datetime
    live: bool
    gpus: int
    """Number of GPUs that it can use for one job: its own and those it can borrow on its host."""
    current_job: str | None
    current_gpus: int | None
    """Number of GPUs that its current job uses; null if it is idle."""
    lends_gpu_to: str | None
    """Another worker's job that is using this worker's GPU. Until it ends, this worker does not claim jobs."""


def list_workers(session: Session, now: datetime) -> list[WorkerView]:
    """Return all known workers."""
    alive_since = now - timedelta(seconds=store.LIVE_SECONDS)
    loans = store.find_loans(session)
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
                lends_gpu_to=None if job_id else loans.get((info.host_id, info.device.uuid)),
            )
        )
    return views


def known_models(workers: Collection[WorkerInfo]) -> set[str] | None:
    """Return the models of a queue's live workers; None if there are no live workers, or if one can download models.

    Workers whose devices have failed are included, because the devices will be checked again and may recover.
    """
    if not workers or any(worker.models is None for worker in workers):
        return None
    return {model for worker in workers for model in worker.models or []}


def is_able(worker: WorkerInfo) -> bool:
    """Return whether a live worker can run jobs, that is, its device has not failed or is not checked."""
    return worker.device_check is None or worker.device_check.passed


def list_live(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the live workers of a queue, including those whose devices have failed."""
    return store.list_live(session, queue, now)


def list_live_by_queue(
    session: Session, queues: Collection[str], now: datetime
) -> dict[str, list[WorkerInfo]]:
    """Return the live workers of each of these queues, including those whose devices have failed."""
    return store.list_live_by_queue(session, queues, now)


def list_ready(session: Session, worker: WorkerInfo, now: datetime) -> list[WorkerInfo]:
    """Return the other workers of the queue that are ready: live, idle, with a working GPU that is not lent."""
    return [
        other
        for other in store.list_idle(session, worker.queue, now)
        if other.worker_id != worker.worker_id and is_able(other)
    ]


def list_starters(
    session: Session, queue: str, now: datetime, except_host: str = ""
) -> list[WorkerInfo]:
    """Return one worker per combination of models and number of GPUs, from hosts that can start multi-GPU jobs."""
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

    If only other workers have a job's model, the job is left to them. If no worker has the model, any worker may claim
    the job, which then fails with a reason instead of waiting forever. Workers whose devices have failed are included:
    their jobs wait until the device recovers or the worker is no longer live.
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
