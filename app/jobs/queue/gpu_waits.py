"""Why a queued job that needs several GPUs has not started, in English and Chinese."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

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
    "too_few_gpus_with_model": {
        "en": "Needs {gpus} GPUs; the largest host that has the model {model} has {largest}. Add the model to a larger host, or submit the job with fewer GPUs.",
        "zh": "需要 {gpus} 张 GPU，而拥有模型 {model} 的最大主机只有 {largest} 张。请把该模型放到更大的主机上，或减少 GPU 数后重新提交。",
    },
    "no_worker_with_model": {
        "en": "The GPUs of all workers that have the model {model} have failed. The job waits until one of them works again.",
        "zh": "拥有模型 {model} 的工作节点的 GPU 均已出现故障；待其中之一恢复后任务才会启动。",
    },
    "no_worker": {
        "en": "No worker of this queue is online.",
        "zh": "该队列没有在线的工作节点。",
    },
    "workers_too_old": {
        "en": "All workers of this queue run a version that cannot use several GPUs for one job. Upgrade one of them.",
        "zh": "该队列的所有工作节点版本过旧，无法让一个任务使用多张 GPU。请升级工作节点。",
    },
}


def find_waits(
    session: Session, jobs: Sequence[Job], now: datetime, language: Language
) -> dict[int, GpuWait]:
    """Return why jobs wait for GPUs, by job number. Jobs that just wait for their turn, or need only one GPU, are left out."""
    large = [job for job in jobs if job.status is JobStatus.QUEUED and job.gpus != 1]
    queues = {name: workers.list_live(session, name, now) for name in {job.queue for job in large}}
    waits = {
        job.number: find_wait(
            GpuNeed(job.gpus, job.most_gpus),
            Fleet.of(queues[job.queue], job.model),
            language,
            job.reserved_host,
        )
        for job in large
    }
    return {number: wait for number, wait in waits.items() if wait is not None}


class Fleet(NamedTuple):
    """The live workers of a queue, as one job sees them."""

    model: str
    able: Sequence[WorkerInfo]
    """Those that can run jobs."""
    usable: Sequence[WorkerInfo]
    """Those of `able` that have the job's model or can download it. If no live worker has it, any of them may claim the job."""

    @classmethod
    def of(cls, live: Sequence[WorkerInfo], model: str) -> "Fleet":
        """Return the fleet of a job for this model."""
        having = [worker for worker in live if worker.models is None or model in worker.models]
        able = [worker for worker in live if workers.is_able(worker)]
        return cls(model, able, [each for each in able if each in having] if having else able)

    @property
    def largest(self) -> int | None:
        """Number of GPUs that the largest host can use for the job; None if there is no host."""
        return largest_host(self.usable)


def find_wait(
    need: GpuNeed, fleet: Fleet, language: Language, reserved_host: str | None = None
) -> GpuWait | None:
    """Return why a job waits for GPUs. None: it needs only its turn."""
    largest, usable = fleet.largest, fleet.usable
    if largest is None:
        words = "no_worker_with_model" if fleet.able else "no_worker"
        return _wait("no_worker", language, words, model=fleet.model)
    on_host = [worker for worker in usable if worker.host_id == (reserved_host or None)]
    if on_host:
        gpus = need.on_host(max(worker.cards for worker in on_host))
        return _wait("gpus_reserved", language, gpus=gpus, host=on_host[0].host)
    if not any(worker.host_id for worker in usable):
        return _wait("workers_too_old", language)
    if need.gpus > largest:
        is_for_model = need.gpus <= (largest_host(fleet.able) or 0)
        words = "too_few_gpus_with_model" if is_for_model else "too_few_gpus"
        gpus = need.gpus
        return _wait("too_few_gpus", language, words, gpus=gpus, largest=largest, model=fleet.model)
    return None


def largest_host(able: Sequence[WorkerInfo]) -> int | None:
    """Return how many GPUs the largest host of these workers can use for one job; None if there are no workers."""
    return max((worker.cards for worker in able), default=None)


def _wait(
    code: str,
    language: Language,
    words: str = "",
    *,
    gpus: int | None = None,
    largest: int | None = None,
    host: str | None = None,
    model: str | None = None,
) -> GpuWait:
    """`words`: the key of the message if it is not the code."""
    text = WORDS[words or code][language]
    message = text.format(gpus=gpus, largest=largest, host=host, model=model)
    return GpuWait(code=code, message=message, gpus=gpus, largest_host=largest, host=host)
