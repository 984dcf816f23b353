"""Why a queued job has not started, in English and Chinese. No reason is given for a job that is only waiting for its turn."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs.queue.gpu_need import GpuNeed
from app.jobs.schemas import JobWait
from app.plans.forecast import NO_LIMIT, Least
from app.plans.words import message_of
from app.workers import service as workers
from contracts.attempt import Ability, WorkerInfo
from contracts.failure import Language
from contracts.job import JobStatus

WORDS: dict[str, dict[Language, str]] = {
    "gpus_reserved": {
        "en": "Waiting for {gpus} GPUs on host {host} to become free. The host will not start later jobs before "
        "this one.",
        "zh": "正在等待主机 {host} 空出 {gpus} 张 GPU；在此任务启动之前，该主机不会启动排在其后的任务。",
    },
    "left_to_larger_host": {
        "en": "Waiting for host {host}, where it can use {gpus} GPUs. If {host} has not started it by {time} UTC, a host "
        "with fewer GPUs will.",
        "zh": "正在等待主机 {host}，在该主机上可使用 {gpus} 张 GPU。如果到 {time}（UTC）仍未启动，将由 GPU 较少的主机启动。",
    },
    "too_few_gpus": {
        "en": "Needs {gpus} GPUs; the largest host that has the model {model} has {largest_host}. Start a worker on a larger host, "
        "install the model there, or submit the job with fewer GPUs.",
        "zh": "需要 {gpus} 张 GPU，而装有模型 {model} 的最大主机只有 {largest_host} 张。请在更大的主机上启动工作节点并安装该模型，"
        "或减少 GPU 数后重新提交。",
    },
    "too_little_memory": {
        "en": "Start a worker on a device with more memory, or submit the job with a smaller training.max_length or lora.rank.",
        "zh": "请在内存更大的设备上启动工作节点，或减小 training.max_length 或 lora.rank 后重新提交。",
    },
    "no_worker": {
        "en": "No worker for the queue {queue} is online. Start one with `stepline worker`.",
        "zh": "队列 {queue} 没有在线的工作节点。请用 stepline worker 启动一个。",
    },
    "devices_failed": {
        "en": "The GPUs of all {workers} online workers that could run this job failed their last check. The Workers page shows why; "
        "each worker rechecks its GPU automatically.",
        "zh": "能运行此任务的 {workers} 个在线工作节点的 GPU 均未通过最近一次检测，原因见“工作节点”页；工作节点会自动重新检测。",
    },
    "workers_cannot_mix": {
        "en": "All workers that could run this job run a version that cannot train on several datasets. Upgrade the workers.",
        "zh": "能运行此任务的工作节点版本过旧，都不支持混合多个数据集训练。请升级工作节点。",
    },
    "workers_too_old": {
        "en": "All workers for this queue run a version that cannot use several GPUs for one job. Upgrade the workers.",
        "zh": "该队列的所有工作节点版本过旧，无法让一个任务使用多张 GPU。请升级工作节点。",
    },
}


class Waiting(NamedTuple):
    """The properties of a queued job that determine where it can start."""

    need: GpuNeed
    model: str
    queue: str
    reserved_host: str | None = None
    least: Least = NO_LIMIT
    left_until: datetime | None = None
    """Until this time, hosts with fewer GPUs leave the job to larger ones; null if they do not."""
    is_mixed: bool = False
    """Whether the job needs a worker that can train on several datasets."""

    def permits(self, worker: WorkerInfo) -> bool:
        """Return whether a worker's version can run the job."""
        return not self.is_mixed or Ability.MIX_DATASETS in worker.abilities


def find_waits(
    session: Session, jobs: Sequence[Job], now: datetime, language: Language
) -> dict[int, JobWait]:
    """Return why queued jobs are waiting, by job number. Jobs that are only waiting for their turn are omitted."""
    queued = [job for job in jobs if job.status is JobStatus.QUEUED]
    if not queued:
        return {}
    live = workers.list_live_by_queue(session, {job.queue for job in queued}, now)
    found = {}
    for job in queued:
        need = GpuNeed(job.gpus, job.most_gpus)
        is_left = job.larger_until is not None and job.larger_until > now
        left_until = job.larger_until if is_left else None
        least = Least(job.least_cpu_bytes, job.least_gpu_bytes)
        waiting = Waiting(
            need, job.model, job.queue, job.reserved_host, least, left_until, job.is_mixed
        )
        wait = find_wait(waiting, live[job.queue], language)
        if wait is not None:
            found[job.number] = wait
    return found


def find_wait(waiting: Waiting, live: Sequence[WorkerInfo], language: Language) -> JobWait | None:
    """Return why a job is waiting, given its queue's live workers; None if it is only waiting for its turn."""
    need = waiting.need
    if not live:
        return _wait("no_worker", language, waiting)
    candidates = find_candidates(live, waiting.model)
    able = [worker for worker in candidates if workers.is_able(worker)]
    if not able:
        return _wait("devices_failed", language, waiting, workers=len(candidates))
    able = [worker for worker in able if waiting.permits(worker)]
    if not able:
        return _wait("workers_cannot_mix", language, waiting)
    large = [worker for worker in able if waiting.least.fits(worker)]
    if not large:
        return _memory_wait(waiting, able, language)
    return None if need.gpus == 1 else _find_gpu_wait(waiting, large, language)


def _memory_wait(waiting: Waiting, able: Sequence[WorkerInfo], language: Language) -> JobWait:
    """Return the reason `too_little_memory`, with the memory of the largest device."""
    reason = waiting.least.reason(able)
    advice = WORDS["too_little_memory"][language]
    return JobWait(
        code=reason.code,
        message=" ".join([message_of(reason, language), advice]).strip()
        if language == "en"
        else message_of(reason, language) + advice,
        needed_bytes=int(reason.values["needed_bytes"]),
        largest_bytes=int(reason.values["largest_bytes"]),
    )


def _find_gpu_wait(
    waiting: Waiting, able: Sequence[WorkerInfo], language: Language
) -> JobWait | None:
    """Return why a multi-GPU job is waiting, given the workers that can run it."""
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
    return _find_larger_wait(waiting, able, language)


def _find_larger_wait(
    waiting: Waiting, able: Sequence[WorkerInfo], language: Language
) -> JobWait | None:
    """Return the reason `left_to_larger_host` if a smaller host leaves the job to the largest one."""
    new = [worker for worker in able if worker.host_id]
    largest = max(new, key=lambda worker: worker.cards)
    gpus = waiting.need.on_host(largest.cards)
    if waiting.left_until is None or all(worker.cards >= gpus for worker in new):
        return None
    return _wait(
        "left_to_larger_host",
        language,
        waiting,
        gpus=gpus,
        host=largest.host,
        until=waiting.left_until,
    )


def find_candidates(live: Sequence[WorkerInfo], model: str) -> Sequence[WorkerInfo]:
    """Return the workers that may claim a job: those that have its model or can download it, or all if there are none.

    If no worker has the model, any worker may claim the job, which then fails with a reason.
    """
    having = [worker for worker in live if worker.models is None or model in worker.models]
    return having or live


def largest_host(live: Sequence[WorkerInfo], model: str) -> int | None:
    """Return how many GPUs the largest host can use for a job with this model; None if no worker can run it."""
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
    until: datetime | None = None,
) -> JobWait:
    figures = {"workers": workers, "gpus": gpus, "largest_host": largest_host, "host": host}
    time = until and until.strftime("%H:%M")
    message = WORDS[code][language].format(
        model=waiting.model, queue=waiting.queue, time=time, **figures
    )
    return JobWait(code=code, message=message, until=until, **figures)
