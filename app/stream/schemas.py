"""Events of a job's stream: the data encoded by frames.py, and its OpenAPI description."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from app.history.schemas import Columns, EventView
from app.jobs.schemas import JobState
from contracts.job import JobStatus, Phase


class PhaseData(BaseModel):
    """The job's current phase."""

    phase: Phase | None
    step: int
    """Number of completed optimizer steps."""


class MetricsData(TypedDict):
    """New points of all series, unsampled."""

    attempt: int
    series: dict[str, Columns]
    cursor: str
    """The place after these points; pass it as `since`."""


class RewindData(TypedDict):
    """A new attempt has started. Discard your points after this step."""

    attempt: int
    rewind_to_step: int


class DroppedData(TypedDict):
    """The client was too slow, so the stream ends."""

    reason: Literal["too_slow"]
    hint: str


class DoneData(BaseModel):
    """The job has ended, so the stream ends."""

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
    """The job without its spec. Sent at the start and after each change."""

    event: Literal["status"]
    data: Annotated[JobState, _AsJson()]


class PhaseEvent(BaseModel):
    """The job's phase. Sent when it changes."""

    event: Literal["phase"]
    data: Annotated[PhaseData, _AsJson()]


class MetricsEvent(BaseModel):
    """New points. Sent a few times per second."""

    event: Literal["metrics"]
    data: Annotated[MetricsData, _AsJson()]
    id: str


class RewindEvent(BaseModel):
    """Sent before the first points of a new attempt."""

    event: Literal["rewind"]
    data: Annotated[RewindData, _AsJson()]


class HappenedEvent(BaseModel):
    """An item of `/events`."""

    event: Literal["event"]
    data: Annotated[EventView, _AsJson()]
    id: str


class DroppedEvent(BaseModel):
    """The client was too slow. Reconnect with Last-Event-ID; no data is lost."""

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
    """An event in the stream. To get later events, send its `id` as Last-Event-ID."""
