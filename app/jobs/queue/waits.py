"""Why a queued job has not started, in English and Chinese. A job that is just waiting for its turn has none."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs.queue.gpu_need import GpuNeed
from app.jobs.schemas import JobWait
from app.workers import service as workers
from contracts.attempt import WorkerInfo
from contracts.failure import Language
from contracts.job import JobStatus

WORDS: dict[str, dict[Language, str]] = {
    "gpus_reserved": {
        "en": "Waits until {gpus} GPUs of host {host} are free. The host will not start later jobs before this one.",
        "zh": "正在等待主机 {host} 空出 {gpus} 张 GPU；在此任务启动之前，该主机不会启动排在其后的任务。",
    },
    "too_few_gpus": {
        "en": "Needs {gpus} GPUs; the largest host that has the model {model} has {largest_host}. Start a worker on a larger host, "
        "install the model there, or submit the job with fewer GPUs.",
        "zh": "需要 {gpus} 张 GPU，而装有模型 {model} 的最大主机只有 {largest_host} 张。请在更大的主机上启动工作节点并安装该模型，"
        "或减少 GPU 数后重新提交。",
    },
    "no_worker": {
        "en": "No worker of the queue {queue} is online. Start one with `stepline worker`.",
        "zh": "队列 {queue} 没有在线的工作节点。请用 stepline worker 启动一个。",
    },
    "devices_failed": {
        "en": "The GPUs of all {workers} online workers that could run this job failed their last check. The Workers page shows why; "
        "each worker rechecks its GPU automatically.",
        "zh": "能运行此任务的 {workers} 个在线工作节点的 GPU 均未通过最近一次检测，原因见“工作节点”页；工作节点会自动重新检测。",
    },
    "workers_too_old": {
        "en": "All workers of this queue run a version that cannot use several GPUs for one job. Upgrade one of them.",
        "zh": "该队列的所有工作节点版本过旧，无法让一个任务使用多张 GPU。请升级工作节点。",
    },
}


class Waiting(NamedTuple):
    """What decides whether and where a queued job can start."""

    need: GpuNeed
    model: str
    queue: str
    reserved_host: str | None = None


def find_waits(
    session: Session, jobs: Sequence[Job], now: datetime, language: Language
) -> dict[int, JobWait]:
    """Return why queued jobs are waiting, by job number. Jobs that are just waiting for their turn are omitted."""
    queued = [job for job in jobs if job.status is JobStatus.QUEUED]
    live = {name: workers.list_live(session, name, now) for name in {job.queue for job in queued}}
    found = {}
    for job in queued:
        need = GpuNeed(job.gpus, job.most_gpus)
        waiting = Waiting(need, job.model, job.queue, job.reserved_host)
        wait = find_wait(waiting, live[job.queue], language)
        if wait is not None:
            found[job.number] = wait
    return found


def find_wait(waiting: Waiting, live: Sequence[WorkerInfo], language: Language) -> JobWait | None:
    """Return why a job is waiting, given the live workers of its queue; None if it is just waiting for its turn."""
    need = waiting.need
    if not live:
        return _wait("no_worker", language, waiting)
    candidates = find_candidates(live, waiting.model)
    able = [worker for worker in candidates if workers.is_able(worker)]
    if not able:
        return _wait("devices_failed", language, waiting, workers=len(candidates))
    return None if need.gpus == 1 else _find_gpu_wait(waiting, able, language)


def _find_gpu_wait(
    waiting: Waiting, able: Sequence[WorkerInfo], language: Language
) -> JobWait | None:
    """Return why a job that may use several GPUs is waiting, given the workers that can run it."""
    need = waiting.need
    on_host = [worker for worker in able if worker.host_id == (waiting.reserved_host or None)]
    if on_host:
        gpus = need.on_host(max(worker.cards for worker in on_host))
        return _wait("gpus_reserved", language, waiting, gpus=gpus, host=on_host[0].host)
    if not any(worker.host_id for worker in able):
        return _wait("workers_too_old", language, waiting)
    largest = max(worker.cards for worker in able)
    if need.gpus > largest:
        return _wait("too_few_gpus", language, waiting, gpus=need.gpus, largest_host=largest)
    return None


def find_candidates(live: Sequence[WorkerInfo], model: str) -> Sequence[WorkerInfo]:
    """Return the workers that may claim a job: those that have its model or can download it, or all if there are none.

    If no worker has the model, any of them claims the job, which then fails with a reason.
    """
    having = [worker for worker in live if worker.models is None or model in worker.models]
    return having or live


def largest_host(live: Sequence[WorkerInfo], model: str) -> int | None:
    """Return how many GPUs the largest host can use for a job of this model; None if no worker can run it."""
    able = [worker.cards for worker in find_candidates(live, model) if workers.is_able(worker)]
    return max(able, default=None)


def _wait(
    code: str,
    language: Language,
    waiting: Waiting,
    *,
    workers: int | None = None,
    gpus: int | None = None,
    largest_host: int | None = None,
    host: str | None = None,
) -> JobWait:
    figures = {"workers": workers, "gpus": gpus, "largest_host": largest_host, "host": host}
    message = WORDS[code][language].format(model=waiting.model, queue=waiting.queue, **figures)
    return JobWait(code=code, message=message, **figures)
