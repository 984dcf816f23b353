"""What users see of a job's history."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.pages import Page
from contracts.attempt import AttemptStatus


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
    error: AttemptError | None
