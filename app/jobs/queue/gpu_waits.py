"""Why a queued job has not started, beyond waiting for its turn, in English and Chinese."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs.queue.gpu_need import GpuNeed
from app.jobs.schemas import GpuWait
from app.workers import service as workers
from contracts.attempt import WorkerInfo
from contracts.failure import Language
from contracts.job import JobStatus

WORDS: dict[str, dict[Language, str]] = {
    "gpus_reserved": {
        "en": "Waits until {gpus} GPUs of host {host} are free. The host starts no later job before this one.",
        "zh": "正在等待主机 {host} 空出 {gpus} 张 GPU；在此任务启动之前，该主机不会启动排在其后的任务。",
    },
    "too_few_gpus": {
        "en": "Needs {gpus} GPUs; the largest host has {largest}. Start a worker on a larger host, or submit the job with fewer GPUs.",
        "zh": "需要 {gpus} 张 GPU，而最大的主机只有 {largest} 张。请在更大的主机上启动工作节点，或减少 GPU 数后重新提交。",
    },
    "no_worker": {
        "en": "No worker of this queue is online and able to run jobs.",
        "zh": "该队列没有在线且可用的工作节点。",
    },
    "workers_too_old": {
        "en": "All workers of this queue run a version that cannot use several GPUs for one job. Upgrade one of them.",
        "zh": "该队列的所有工作节点版本过旧，无法让一个任务使用多张 GPU。请升级工作节点。",
    },
}


def find_waits(
    session: Session, jobs: Sequence[Job], now: datetime, language: Language
) -> dict[int, GpuWait]:
    """Return why jobs wait, by job number. Jobs that just wait for their turn are left out."""
    queued = [job for job in jobs if job.status is JobStatus.QUEUED]
    queues = {name: workers.list_able(session, name, now) for name in {job.queue for job in queued}}
    waits = {
        job.number: find_wait(
            GpuNeed(job.gpus, job.most_gpus), queues[job.queue], language, job.reserved_host
        )
        for job in queued
    }
    return {number: wait for number, wait in waits.items() if wait is not None}


def find_wait(
    need: GpuNeed, able: Sequence[WorkerInfo], language: Language, reserved_host: str | None = None
) -> GpuWait | None:
    """Return why a job waits, given the live workers of its queue that can run jobs. None: it needs only its turn."""
    largest = largest_host(able)
    if largest is None:
        return _wait("no_worker", language)
    if need.gpus == 1:
        return None
    on_host = [worker for worker in able if worker.host_id == (reserved_host or None)]
    if on_host:
        gpus = need.on_host(max(worker.cards for worker in on_host))
        return _wait("gpus_reserved", language, gpus=gpus, host=on_host[0].host)
    if not any(worker.host_id for worker in able):
        return _wait("workers_too_old", language)
    if need.gpus > largest:
        return _wait("too_few_gpus", language, gpus=need.gpus, largest=largest)
    return None


def largest_host(able: Sequence[WorkerInfo]) -> int | None:
    """Return how many GPUs the largest host of these workers can use for one job; None if there are no workers."""
    return max((worker.cards for worker in able), default=None)


def _wait(
    code: str,
    language: Language,
    gpus: int | None = None,
    largest: int | None = None,
    host: str | None = None,
) -> GpuWait:
    message = WORDS[code][language].format(gpus=gpus, largest=largest, host=host)
    return GpuWait(code=code, message=message, gpus=gpus, largest_host=largest, host=host)
