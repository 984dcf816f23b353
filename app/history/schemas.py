"""JSON responses for a job's history.

Responses that contain points are TypedDicts, which are built as plain data and sent without validation. The type
checker verifies their keys, and the OpenAPI document is generated from them. The others are small and use pydantic
models.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, Field, WithJsonSchema
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from contracts.attempt import AttemptStatus
from contracts.job import JobStatus

IsoTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A timestamp already formatted as text."""


class LossPoint(TypedDict):
    """One optimizer step."""

    step: int
    loss: float | None
    """Nats per supervised token over the effective batch; null if it was not finite."""
    learning_rate: float | None
    grad_norm: float | None
    epoch: float | None
    attempt: int
    at: IsoTime


class LossPage(TypedDict):
    """A page of the loss curve."""

    object: Annotated[NotRequired[Literal["list"]], Field(default="list")]
    data: list[LossPoint]
    has_more: bool
    cursor: str | None
    rewind_to_step: Annotated[NotRequired[int | None], Field(default=None)]
    """Set if the page continues with a newer attempt. Discard your points after this step, then add the page's
    points."""
    nonfinite: Annotated[NotRequired[list[int]], Field(default=[])]
    """Steps on this page whose loss was NaN or infinite."""
    points: Annotated[NotRequired[int | None], Field(default=None)]
    """With `max_points`: the number of points before sampling."""
    sampled: Annotated[NotRequired[bool], Field(default=False)]
    """Whether points were omitted."""
    poll_after_seconds: float | None
    """Seconds to wait before the next poll; null if no more data will be added."""


class WindowMean(TypedDict):
    """The mean of a window."""

    step: int
    """The window's last step."""
    loss: float | None
    """Token-weighted mean step loss."""


class WindowPage(TypedDict):
    """Means of complete windows of steps."""

    object: Annotated[NotRequired[Literal["list"]], Field(default="list")]
    data: list[WindowMean]
    has_more: bool
    cursor: str | None
    window: int
    """Number of steps per window."""
    rewind_to_step: Annotated[NotRequired[None], Field(default=None)]
    nonfinite: Annotated[NotRequired[list[int]], Field(default=[])]
    poll_after_seconds: float | None
    """Seconds to wait before the next poll; null if no more data will be added."""


class Columns(TypedDict):
    """New points of a series; the n-th value belongs to the n-th step."""

    step: list[int]
    value: list[float | None]
    """Null if it was not finite."""
    nonfinite: list[int]
    """Steps of these points whose value was NaN or infinite."""


class SeriesView(Columns):
    """A series in columns; the n-th value belongs to the n-th step."""

    at: Annotated[NotRequired[list[float] | None], Field(default=None)]
    """With `times=true`: seconds since 1970."""
    points: int
    """Number of points within the bounds, before sampling."""
    sampled: bool
    """Whether points were omitted and the values were rounded to six significant digits."""
    width: int
    """Records per bucket. Only the smallest and largest points of each bucket are included; 1 means that all points
    are."""


class AttemptSpan(TypedDict):
    """The range of steps that an attempt has recorded."""

    number: int
    first_step: int | None
    last_step: int | None


class Ghost(TypedDict):
    """Data recorded by one attempt and replaced by a later one."""

    attempt: int
    series: dict[str, SeriesView]


class MetricsView(TypedDict):
    """A job's series in columns."""

    object: Annotated[NotRequired[Literal["metrics"]], Field(default="metrics")]
    job: str
    status: JobStatus
    complete: bool
    """Whether the job has ended, in which case no more data will be added."""
    names: list[str]
    """All of the job's series; with `since`, only those on this page."""
    series: dict[str, SeriesView]
    attempts: list[AttemptSpan]
    ghosts: list[Ghost] | None
    rewind_to_step: int | None
    """Set if the page continues with a newer attempt. Discard your points after this step, then add the page's
    points."""
    has_more: bool
    cursor: str
    """Pass it as `since`, here or to the stream, to continue from this point."""
    poll_after_seconds: float | None
    """Seconds to wait before the next poll; null if no more data will be added."""


class EventView(BaseModel):
    """An event of a job."""

    id: str
    at: datetime
    level: str
    code: str
    message: str
    """In the caller's language."""
    attempt: int | None
    data: dict[str, Any]


class LogLine(BaseModel):
    """A line printed by the training process, or a message that it logged."""

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
    evidence: dict[str, str | int | float | bool | None]
    """Values that support the code, for example `exit_code`, which is negative if a signal ended the process."""


class AttemptView(BaseModel):
    """One attempt to run a job."""

    id: str
    number: int
    status: AttemptStatus
    unreachable: bool
    worker: str
    device: str
    gpus: int
    """Number of GPUs used. On a CPU, the number of processes, usually 1."""
    started_at: datetime
    synced_at: datetime
    """Time of the last sync."""
    ended_at: datetime | None
    first_step: int | None
    last_step: int | None
    resumed_from: int | None
    """Number of the attempt whose checkpoint this one resumed from; null until reported, or if it started from step
    0."""
    resumed_step: int | None
    """Step of that checkpoint."""
    error: AttemptError | None
