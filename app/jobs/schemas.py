"""Request and response models of jobs."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.datasets.review.schemas import JobWarning
from app.http.paging import Page
from app.models.schemas import ModelCheck
from app.plans.schemas import Forecast
from contracts.base import Strict
from contracts.job import JobSpec, JobStatus, Label, LabelValue, Phase
from contracts.run.plan import EvaluationCost
from contracts.verdicts.finding import HealthCode, Level

_JOB_ID = re.compile(r"job_[0-9a-f]{24}")


class RowsDone(BaseModel):
    """Progress of the current phase, in rows."""

    done: int
    total: int
    seconds_left: float | None
    """Time left in this phase; null until the first rows have been processed."""


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
    """Row progress while the job tokenizes or evaluates; null in other phases."""


class JobError(BaseModel):
    """Why a job failed, in the caller's language."""

    code: str
    message: str
    hint: str
    detail: str = ""
    """The worker's description of the failure."""
    step: int | None = None


class HealthView(BaseModel):
    """A finding about a job's health. docs/numbers.md describes the rules."""

    code: HealthCode
    level: Level
    step: int
    """The step to which the finding refers, for example the step of a spike."""
    values: dict[str, float]
    """The values on which the finding is based."""
    raised_at: datetime
    acknowledged: bool
    """Whether a user has acknowledged it. It is raised again if it gets worse or recurs."""


class JobWait(BaseModel):
    """Why a queued job has not started, unless it is only waiting for its turn."""

    code: str
    """`no_worker`, `devices_failed`, `too_little_memory`, `gpus_reserved`, `left_to_larger_host`, `too_few_gpus`, `workers_too_old` or
    `workers_cannot_mix`."""
    message: str
    """In the caller's language."""
    workers: int | None = None
    """With `devices_failed`: number of online workers that could run the job if their GPUs worked."""
    gpus: int | None = None
    """Number of GPUs that the job needs on one host. With `left_to_larger_host`: number that it would use on `host`."""
    largest_host: int | None = None
    """With `too_few_gpus`: number of GPUs that the largest host with the model can use for one job."""
    host: str | None = None
    """With `gpus_reserved`: name of the reserved host, which will not start later jobs before this one. With
    `left_to_larger_host`: name of the largest host."""
    needed_bytes: int | None = None
    """With `too_little_memory`: minimum memory of a device that can run the job."""
    largest_bytes: int | None = None
    """With `too_little_memory`: memory of the largest device among the online workers that could run the job."""
    until: datetime | None = None
    """With `left_to_larger_host`: time after which a host with fewer GPUs may start the job."""


class JobState(BaseModel):
    """A job as users see it, without its spec."""

    object: Literal["job"] = "job"
    id: str
    name: str | None
    status: JobStatus
    version: int
    """Incremented with each change to the job."""
    phase: Phase | None
    """Current phase of the running attempt."""
    progress: Progress
    eta_seconds: float | None
    """Estimated from recent step durations and evaluation progress; null while unknown."""
    queue_position: int | None
    """Position in the queue; 1 is next. Null if the job is not queued or its position is above 1,000."""
    queue_position_above: int | None = None
    """1000 if the job is queued and its position is above 1,000; otherwise null."""
    waiting: JobWait | None = None
    """Why the job is waiting; null if it is not queued or is only waiting for its turn."""
    last_loss: float | None
    eval_loss: float | None
    """Loss of the last evaluation of the trained model; null until there is one. The base model's loss is in `/metrics`
    at step 0 and in the summary."""
    health: list[HealthView] = []
    """Findings about the run, most severe first; empty if it is healthy or has not started."""
    attempt: int
    """Number of the newest attempt; 0 before the first."""
    unreachable: bool
    """True if the worker has not reported within its lease."""
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None
    """Time of a pause request that is still pending; null once the attempt has ended."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    run_seconds: float | None = None
    """Total duration of the attempts that have ended. Excludes the time in which the job was queued or paused. Null if
    no attempt has ended."""
    labels: dict[str, str]
    notes: str | None = None
    archived: bool = False
    """Archived jobs are listed only on request."""
    priority: int = 0
    """Initially the spec's priority; it can be changed while the job is queued."""
    error: JobError | None


class JobView(JobState):
    """A job as users see it."""

    spec: JobSpec


class JobEdit(Strict):
    """Changes to a job. Absent fields are left unchanged; the submitted spec never changes."""

    name: str | None = Field(None, max_length=200)
    """Display name; null removes it."""
    labels: dict[Label, LabelValue | None] = Field({}, max_length=32)
    """Labels to set, or to remove if the value is null. Other labels are kept. A job can have up to 16 labels."""
    notes: str | None = Field(None, max_length=10_000)
    """Free text with line breaks; null removes it."""
    archived: bool = False
    """Whether lists omit the job. Only a job that has ended can be archived; a retry restores it."""
    priority: int = Field(0, ge=-1000, le=1000)
    """Determines the place in the queue; can be changed only while the job is queued."""


class JobCount(BaseModel):
    """A number of jobs."""

    count: int
    """At most 1,000."""
    is_exact: bool
    """False if there may be more: above 1,000, or among jobs older than the newest 1,000 if no index covers the
    filter."""


class JobCounts(BaseModel):
    """Number of jobs that match the search, labels and times of a list."""

    statuses: dict[JobStatus, JobCount]
    """By status."""
    archived: JobCount
    """Archived jobs of any status."""


class JobPage(Page[JobView]):
    """One page of jobs. If no index covers the filter, it may contain fewer than `limit` jobs even though more exist."""

    searched: int | None = None
    """Number of jobs checked for this page (in list order, at most 1,000) if no index covers the filter and the page is
    not full; otherwise null. If `has_more` is true, later jobs have not been checked yet, and `cursor` continues with
    them."""
    counts: JobCounts | None = None
    """Null unless requested."""


class JobName(BaseModel):
    """A job's id and name."""

    id: str
    name: str | None


class JobNamePage(Page[JobName]):
    """One page of ids and names. As in `JobPage`, it may contain fewer than `limit` jobs even though more exist."""

    searched: int | None = None
    """As in `JobPage`."""


class DeletedJob(BaseModel):
    """A deleted job."""

    object: Literal["job"] = "job"
    id: str
    deleted: Literal[True] = True


class Plan(BaseModel):
    """A job's plan. Nothing is stored."""

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
    """Known facts about the model."""
    gpus: int | None = None
    """Number of GPUs that the job would use; null if it requests all GPUs of a host and no worker is online."""
    waiting: JobWait | None = None
    """Why the job could not start now, even with an empty queue; null if it could."""
    data_warnings: list[JobWarning] = []
    """Warnings about the uploaded datasets that the job uses, such as evaluation rows that are also training rows."""
    forecast: Forecast
    """Forecast of the tokens, memory, time and disk space of the job."""


class JobSort(StrEnum):
    """Sort order. A leading `-` means descending. Jobs without a value come last, newest first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    STATUS = "status"
    """Running jobs come first, then queued, paused and ended ones. Queued jobs are in claim order, the others newest first."""
    NAME = "name"
    NAME_DESCENDING = "-name"
    EVAL_LOSS = "eval_loss"
    EVAL_LOSS_DESCENDING = "-eval_loss"
    ENDED = "ended_at"
    LAST_ENDED = "-ended_at"

    @property
    def column(self) -> str:
        """Column name."""
        return self.value.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        """Whether the order is descending."""
        return self.value.startswith("-")


class JobFilter(BaseModel):
    """Which jobs to list, and in which order."""

    search: str
    """Part of the name, model or id, ignoring case. An empty string matches every job."""
    statuses: list[JobStatus]
    labels: list[tuple[str, str]]
    """Keys and values, all of which a job must have."""
    created_after: datetime | None
    created_before: datetime | None
    label_keys: list[str] = []
    """Keys of labels that a job must have, whatever their values."""
    is_unlabelled: bool = False
    """Whether to list only jobs without labels."""
    archived: bool | None = False
    """None: both archived jobs and others."""
    sort: JobSort = JobSort.NEWEST

    @property
    def is_contradictory(self) -> bool:
        """Whether no job can match, because the filter requires two values for a key."""
        return len(dict(self.labels)) < len(set(self.labels))

    @property
    def job_id(self) -> str | None:
        """The id, if the search consists of one, or None."""
        search = self.search.casefold()
        return search if _JOB_ID.fullmatch(search) else None


StoredAnswer = dict[str, Any]
