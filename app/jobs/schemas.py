"""Request and response models of jobs."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.http.paging import Page
from contracts.job import JobSpec, JobStatus, Phase
from contracts.plan import EvaluationCost


class RowsDone(BaseModel):
    """Progress of the current phase, in rows."""

    done: int
    total: int
    seconds_left: float | None
    """Time left in this phase alone; null before the first rows are processed."""


class Progress(BaseModel):
    """How far a job is."""

    step: int
    """Optimizer steps done."""
    total_steps: int | None
    epoch: float | None
    """Passes over the training rows, as a fraction."""
    percent: float | None
    """Of the optimizer steps."""
    rows: RowsDone | None = None
    """Rows of the present phase, while it tokenizes or evaluates; null in every other phase."""


class JobError(BaseModel):
    """Why a job failed, in the caller's language."""

    code: str
    message: str
    hint: str
    detail: str = ""
    """The worker's description of the failure."""
    step: int | None = None


class JobState(BaseModel):
    """How a job is doing: a job as users see it, without its spec."""

    object: Literal["job"] = "job"
    id: str
    name: str | None
    status: JobStatus
    version: int
    """Counts the job's changes."""
    phase: Phase | None
    """Current phase of the running attempt."""
    progress: Progress
    eta_seconds: float | None
    """Time left by the recent steps' durations and the evaluation's progress; null while unknown."""
    queue_position: int | None
    """1 is claimed next; null unless queued, and beyond 1,000."""
    queue_position_above: int | None = None
    """1000 where more than 1,000 jobs of the queue are claimed earlier or next; null where the position is known."""
    last_loss: float | None
    eval_loss: float | None
    attempt: int
    """Number of the newest attempt; 0 before the first."""
    unreachable: bool
    """Whether the worker has been silent for longer than its lease."""
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None
    """Set from the request to pause until the running attempt has ended with a checkpoint."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    labels: dict[str, str]
    error: JobError | None


class JobView(JobState):
    """A job as users see it."""

    spec: JobSpec


class JobPage(Page[JobView]):
    """One page of jobs. A page that was searched for may hold fewer than `limit` while there are more."""

    searched: int | None = None
    """Jobs checked for this page, at most 1,000, newest first, if no index covers the filter and the page is not full. With
    `has_more`, older jobs are not checked yet; `cursor` continues there. Null: the page leaves nothing out."""


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
    """With every default filled in."""
    train_rows: int | None
    """Null for a dataset of the hub, which the server does not read."""
    eval_rows: int | None
    steps: int | None
    evaluation: EvaluationCost | None = None
    """Cost of the evaluations; null if their rows or the training rows are unknown."""


class JobFilter(BaseModel):
    """Which jobs to list."""

    search: str
    """Part of the name, the model or the id, in any case; empty fits all."""
    statuses: list[JobStatus]
    labels: dict[str, str]
    created_after: datetime | None
    created_before: datetime | None


StoredAnswer = dict[str, Any]
