"""Request and response models of jobs."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.http.paging import Page
from app.models.schemas import ModelCheck
from contracts.job import JobSpec, JobStatus, Phase
from contracts.plan import EvaluationCost


class RowsDone(BaseModel):
    """Progress of the current phase, in rows."""

    done: int
    total: int
    seconds_left: float | None
    """Time left in this phase only; null until the first rows have been processed."""


class Progress(BaseModel):
    """Progress of a job."""

    step: int
    """Optimizer steps done."""
    total_steps: int | None
    epoch: float | None
    """Epochs trained so far, as a fraction."""
    percent: float | None
    """Percentage of the optimizer steps that have been completed."""
    rows: RowsDone | None = None
    """Rows of the current phase while the job tokenizes or evaluates; null in other phases."""


class JobError(BaseModel):
    """Why a job failed, in the caller's language."""

    code: str
    message: str
    hint: str
    detail: str = ""
    """The worker's description of the failure."""
    step: int | None = None


class JobWait(BaseModel):
    """Why a queued job has not started, if it does not just wait for its turn."""

    code: str
    """`no_worker`, `devices_failed`, `gpus_reserved`, `too_few_gpus` or `workers_too_old`."""
    message: str
    """In the caller's language."""
    workers: int | None = None
    """With `devices_failed`: number of online workers that could run the job if their GPUs worked."""
    gpus: int | None = None
    """Number of GPUs that the job needs on one host."""
    largest_host: int | None = None
    """With `too_few_gpus`: how many GPUs the largest host that has the model can use for one job."""
    host: str | None = None
    """With `gpus_reserved`: name of the host that starts no later job before this one."""


class JobState(BaseModel):
    """A job as users see it, without its spec."""

    object: Literal["job"] = "job"
    id: str
    name: str | None
    status: JobStatus
    version: int
    """Increases with each change to the job."""
    phase: Phase | None
    """Current phase of the running attempt."""
    progress: Progress
    eta_seconds: float | None
    """Estimated from the durations of recent steps and the progress of the evaluation; null while unknown."""
    queue_position: int | None
    """1 is claimed next. Null if the job is not queued or its position is above 1,000."""
    queue_position_above: int | None = None
    """1000 if the job is queued and its position is above 1,000; otherwise null."""
    waiting: JobWait | None = None
    """Why the job waits for GPUs; null if it is not queued, if it needs only one GPU, and if it just waits for its turn."""
    last_loss: float | None
    eval_loss: float | None
    attempt: int
    """Number of the newest attempt; 0 before the first."""
    unreachable: bool
    """Whether the worker has been silent for longer than its lease."""
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None
    """Time of a pause request that is still pending; null once the attempt has ended."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    labels: dict[str, str]
    error: JobError | None


class JobView(JobState):
    """A job as users see it."""

    spec: JobSpec


class JobPage(Page[JobView]):
    """One page of jobs. If no index covers the filter, it may contain fewer than `limit` jobs even though more exist."""

    searched: int | None = None
    """Number of jobs checked for this page (newest first, at most 1,000), if no index covers the filter and the page is not
    full; otherwise null. If `has_more` is true, older jobs have not been checked yet; `cursor` continues with them."""


class DeletedJob(BaseModel):
    """A deleted job."""

    object: Literal["job"] = "job"
    id: str
    deleted: Literal[True] = True


class Plan(BaseModel):
    """Plan of a job; nothing is stored."""

    object: Literal["plan"] = "plan"
    valid: Literal[True] = True
    spec: JobSpec
    """The spec with all defaults filled in."""
    train_rows: int | None
    """Null for a dataset on the hub, which the server does not read."""
    eval_rows: int | None
    steps: int | None
    evaluation: EvaluationCost | None = None
    """Cost of the evaluations; null if the number of training or evaluation rows is unknown."""
    model: ModelCheck
    """What is known about the model."""
    gpus: int | None = None
    """Number of GPUs that the job would use; null if it asks for all GPUs of a host and no worker is online."""
    waiting: JobWait | None = None
    """Why the job could not start now, even if no other job were queued; null if it needs only one GPU."""


class JobFilter(BaseModel):
    """Which jobs to list."""

    search: str
    """Part of the name, the model or the id, ignoring case; an empty string matches every job."""
    statuses: list[JobStatus]
    labels: dict[str, str]
    created_after: datetime | None
    created_before: datetime | None


StoredAnswer = dict[str, Any]
