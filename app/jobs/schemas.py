"""Request and response models of jobs."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.http.paging import Page
from app.models.schemas import ModelCheck
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


class HealthView(BaseModel):
    """A finding on the health of a job. docs/numbers.md has the rules."""

    code: HealthCode
    level: Level
    step: int
    """The step that the finding is about, for example that of a spike."""
    values: dict[str, float]
    """The figures behind the finding."""
    raised_at: datetime
    acknowledged: bool
    """Whether a user has acknowledged it. It is raised again if it gets worse or comes back."""


class JobWait(BaseModel):
    """Why a queued job has not started, unless it is just waiting for its turn."""

    code: str
    """`no_worker`, `devices_failed`, `gpus_reserved`, `left_to_larger_host`, `too_few_gpus` or `workers_too_old`."""
    message: str
    """In the caller's language."""
    workers: int | None = None
    """With `devices_failed`: number of online workers that could run the job if their GPUs worked."""
    gpus: int | None = None
    """Number of GPUs that the job needs on one host; with `left_to_larger_host`, that it would use on `host`."""
    largest_host: int | None = None
    """With `too_few_gpus`: how many GPUs the largest host that has the model can use for one job."""
    host: str | None = None
    """With `gpus_reserved`: name of the host, which will not start later jobs before this one. With `left_to_larger_host`: of the largest host."""
    until: datetime | None = None
    """With `left_to_larger_host`: from then on, a host with fewer GPUs may start the job."""


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
    """Why the job is waiting; null if it is not queued or is just waiting for its turn."""
    last_loss: float | None
    eval_loss: float | None
    """Of the last evaluation of the trained model; null until there is one. The base model's is in `/metrics` at step 0 and in the summary."""
    health: list[HealthView] = []
    """Findings on the run, worst first; empty if it is healthy or has not begun."""
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
    notes: str | None = None
    archived: bool = False
    """Lists omit archived jobs unless the request asks for them."""
    priority: int = 0
    """The priority in the spec, until it is changed while the job is queued."""
    error: JobError | None


class JobView(JobState):
    """A job as users see it."""

    spec: JobSpec


class JobEdit(Strict):
    """Changes to a job. Absent fields are left unchanged; the submitted spec never changes."""

    name: str | None = Field(None, max_length=200)
    """Display name; null removes it."""
    labels: dict[Label, LabelValue | None] = Field({}, max_length=32)
    """Labels to set, or to remove if the value is null. Other labels are kept. A job can have 16."""
    notes: str | None = Field(None, max_length=10_000)
    """Free text with line breaks; null removes it."""
    archived: bool = False
    """Whether lists omit the job. Only a job that has ended can be archived; a retry restores it."""
    priority: int = Field(0, ge=-1000, le=1000)
    """Place in the queue; only while the job is queued."""


class JobCount(BaseModel):
    """A number of jobs."""

    count: int
    """At most 1,000."""
    is_exact: bool
    """False if there may be more: beyond 1,000, or beyond the newest 1,000 jobs if no index covers the filter."""


class JobCounts(BaseModel):
    """How many jobs match the search, the labels and the times of a list."""

    statuses: dict[JobStatus, JobCount]
    """By status."""
    archived: JobCount
    """Archived jobs of any status."""


class JobPage(Page[JobView]):
    """One page of jobs. If no index covers the filter, it may contain fewer than `limit` jobs even though more exist."""

    searched: int | None = None
    """Number of jobs checked for this page (in list order, at most 1,000), if no index covers the filter and the page is not
    full; otherwise null. If `has_more` is true, the jobs after them have not been checked yet; `cursor` continues there."""
    counts: JobCounts | None = None
    """Null unless the request asks for it."""


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


class JobSort(StrEnum):
    """Order of a list. A leading `-` means descending; jobs without a value come last, newest first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    STATUS = "status"
    """Running, queued, paused, ended. Queued jobs in the order in which they are claimed, the others newest first."""
    NAME = "name"
    NAME_DESCENDING = "-name"
    EVAL_LOSS = "eval_loss"
    EVAL_LOSS_DESCENDING = "-eval_loss"
    ENDED = "ended_at"
    LAST_ENDED = "-ended_at"

    @property
    def column(self) -> str:
        """Name of the column."""
        return self.value.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        """Whether the largest value comes first."""
        return self.value.startswith("-")


class JobFilter(BaseModel):
    """Which jobs to list, and in which order."""

    search: str
    """Part of the name, the model or the id, ignoring case; an empty string matches every job."""
    statuses: list[JobStatus]
    labels: list[tuple[str, str]]
    """Keys and values that a job must all have."""
    created_after: datetime | None
    created_before: datetime | None
    label_keys: list[str] = []
    """Keys of labels that a job must have, whatever their values."""
    archived: bool | None = False
    """None: both archived jobs and others."""
    sort: JobSort = JobSort.NEWEST

    @property
    def is_contradictory(self) -> bool:
        """Whether no job can match: a job has only one value for each key."""
        return len(dict(self.labels)) < len(set(self.labels))

    @property
    def job_id(self) -> str | None:
        """The id that the search consists of, or None."""
        search = self.search.casefold()
        return search if _JOB_ID.fullmatch(search) else None


StoredAnswer = dict[str, Any]
