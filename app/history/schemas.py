"""What users see of a job's history."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.http.paging import Page
from contracts.attempt import AttemptStatus
from contracts.job import JobStatus


class LossPoint(BaseModel):
    """One optimizer step."""

    step: int
    loss: float | None
    """Nats per supervised token over the effective batch; null where it was not finite."""
    learning_rate: float | None
    grad_norm: float | None
    epoch: float | None
    attempt: int
    at: datetime


class LossPage(Page[LossPoint]):
    """A page of the loss curve."""

    rewind_to_step: int | None = None
    """Set when the page crosses into a newer attempt: drop the points held beyond this step, then add the page's."""
    nonfinite: list[int] = []
    """Steps of this page whose loss was NaN or infinite."""
    points: int | None = None
    """With `max_points`: how many there are in all."""
    sampled: bool = False
    """Whether points were left out."""
    poll_after_seconds: float | None
    """When to ask again; null if nothing will be added."""


class WindowMean(BaseModel):
    """The mean of a window."""

    step: int
    """The window's last step."""
    loss: float | None
    """Token-weighted mean step loss."""


class WindowPage(Page[WindowMean]):
    """The means of whole windows of steps."""

    window: int
    """Steps of each window."""
    rewind_to_step: None = None
    nonfinite: list[int] = []
    poll_after_seconds: float | None
    """When to ask again; null if nothing will be added."""


class SeriesView(BaseModel):
    """One series in columns: the n-th step and the n-th value belong together."""

    step: list[int]
    value: list[float | None]
    """Null where it was not finite."""
    nonfinite: list[int]
    """Steps of these points whose value was NaN or infinite."""
    at: list[float] | None = None
    """With `times=true`: seconds since 1970."""
    points: int
    """How many the series has within the bounds."""
    sampled: bool
    """Whether points were left out, and values rounded to six significant digits."""
    width: int
    """Records of a bucket of which the smallest and the largest point is kept; 1 if every point is there."""


class AttemptSpan(BaseModel):
    """The steps that an attempt trained."""

    number: int
    first_step: int | None
    last_step: int | None


class Ghost(BaseModel):
    """What an attempt recorded and a later one replaced."""

    attempt: int
    series: dict[str, SeriesView]


class MetricsView(BaseModel):
    """Series of a job, each in columns."""

    object: Literal["metrics"] = "metrics"
    job: str
    status: JobStatus
    complete: bool
    """Whether the job has ended, so that nothing will be added."""
    names: list[str]
    """Every series there is; with `since`, those of this page."""
    series: dict[str, SeriesView]
    attempts: list[AttemptSpan]
    ghosts: list[Ghost] | None
    rewind_to_step: int | None
    """Set when the page crosses into a newer attempt: drop what is held beyond this step, then add the page's."""
    has_more: bool
    cursor: str
    """Pass it as `since` to get what comes after this answer; the stream takes it, too."""
    poll_after_seconds: float | None
    """When to ask again; null if nothing will be added."""


class EventView(BaseModel):
    """Something that happened."""

    id: str
    at: datetime
    level: str
    code: str
    message: str
    """In the caller's language."""
    attempt: int | None
    data: dict[str, Any]


class LogLine(BaseModel):
    """A line that the training process printed, or a sentence that it recorded."""

    at: datetime
    attempt: int
    source: Literal["output", "record"]
    level: str | None
    text: str


class AttemptError(BaseModel):
    """Why an attempt failed."""

    code: str
    message: str
    hint: str
    detail: str
    step: int | None


class AttemptView(BaseModel):
    """One try at a job."""

    id: str
    number: int
    status: AttemptStatus
    unreachable: bool
    worker: str
    device: str
    started_at: datetime
    synced_at: datetime
    """Last sign of life."""
    ended_at: datetime | None
    first_step: int | None
    last_step: int | None
    resumed_from: int | None
    """Number of the attempt whose checkpoint it went on from; null: it began with the first step, or has not said so."""
    resumed_step: int | None
    """Step of that checkpoint."""
    error: AttemptError | None
