"""The events of a job's stream: the data that frames.py encodes, and their description for OpenAPI."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from app.history.schemas import Columns, EventView
from app.jobs.schemas import JobState
from contracts.job import JobStatus, Phase


class PhaseData(BaseModel):
    """The phase that the job is in now."""

    phase: Phase | None
    step: int
    """Optimizer steps done."""


class MetricsData(TypedDict):
    """New points of all series, unsampled."""

    attempt: int
    series: dict[str, Columns]
    cursor: str
    """The place after these points, for `since`."""


class RewindData(TypedDict):
    """A new attempt began: drop what is held beyond this step."""

    attempt: int
    rewind_to_step: int


class DroppedData(TypedDict):
    """The listener was too slow, and the stream ends."""

    reason: Literal["too_slow"]
    hint: str


class DoneData(BaseModel):
    """The job has ended, and so does the stream."""

    status: JobStatus


class _AsJson:
    """Marks data that is sent as JSON text within an event."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": handler(core),
        }


class StatusEvent(BaseModel):
    """The job without its spec, at the beginning and at each change."""

    event: Literal["status"]
    data: Annotated[JobState, _AsJson()]


class PhaseEvent(BaseModel):
    """The phase, when it changes."""

    event: Literal["phase"]
    data: Annotated[PhaseData, _AsJson()]


class MetricsEvent(BaseModel):
    """New points, a few times a second."""

    event: Literal["metrics"]
    data: Annotated[MetricsData, _AsJson()]
    id: str


class RewindEvent(BaseModel):
    """Comes before the first points of a new attempt."""

    event: Literal["rewind"]
    data: Annotated[RewindData, _AsJson()]


class HappenedEvent(BaseModel):
    """One item of `/events`."""

    event: Literal["event"]
    data: Annotated[EventView, _AsJson()]
    id: str


class DroppedEvent(BaseModel):
    """Reconnect with Last-Event-ID: nothing is lost."""

    event: Literal["dropped"]
    data: Annotated[DroppedData, _AsJson()]


class DoneEvent(BaseModel):
    """The last event."""

    event: Literal["done"]
    data: Annotated[DoneData, _AsJson()]
    id: str


class StreamEvent(
    RootModel[
        StatusEvent
        | PhaseEvent
        | MetricsEvent
        | RewindEvent
        | HappenedEvent
        | DroppedEvent
        | DoneEvent
    ]
):
    """One event of the stream. Its `id` is what a reader sends as Last-Event-ID to get what comes after it."""
