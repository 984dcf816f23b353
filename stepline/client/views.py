"""The API responses that the client reads. Unknown fields from a newer server are kept unchanged (`model_extra`).

Each field has the name, unit and meaning described in docs/api.md and /openapi.json.
"""

from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import ConfigDict, Field

from contracts.base import Tolerant, UtcDatetime
from contracts.dataset.status import DatasetStatus
from contracts.job_status import JobStatus, Phase

if TYPE_CHECKING:
    from contracts.job import JobSpec

Item = TypeVar("Item")


class View(Tolerant):
    """A response. It keeps unknown fields, so that `--json` shows everything that the server sent."""

    # For a fast start: a command reads few kinds of responses, and pydantic finds docstrings in the source code.
    model_config = ConfigDict(extra="allow", defer_build=True, use_attribute_docstrings=False)


class Page(View, Generic[Item]):
    """One page of a list."""

    data: list[Item]
    has_more: bool
    cursor: str | None


KnownPhase = Annotated[Phase | str, Field(union_mode="left_to_right")]
"""A phase; text if it is one of a newer server."""


class RowsDone(View):
    """Progress of a phase that counts rows."""

    done: int
    total: int
    seconds_left: float | None


class Progress(View):
    """Progress of a job, in optimizer steps."""

    step: int
    total_steps: int | None
    epoch: float | None
    percent: float | None
    rows: RowsDone | None = None


class Note(View):
    """A reason in the caller's language."""

    code: str
    message: str = ""


class JobFailure(Note):
    """Why a job failed."""

    hint: str = ""
    detail: str = ""
    step: int | None = None


class Finding(View):
    """A finding about a job's health."""

    code: str
    level: str
    step: int
    acknowledged: bool = False


class JobState(View):
    """A job without its spec."""

    id: str
    name: str | None
    status: JobStatus
    phase: KnownPhase | None
    progress: Progress
    eta_seconds: float | None
    queue_position: int | None
    waiting: Note | None = None
    last_loss: float | None
    eval_loss: float | None
    health: list[Finding] = []
    attempt: int
    unreachable: bool
    cancel_requested_at: UtcDatetime | None
    pause_requested_at: UtcDatetime | None
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    ended_at: UtcDatetime | None
    run_seconds: float | None = None
    labels: dict[str, str]
    notes: str | None = None
    archived: bool = False
    priority: int = 0
    error: JobFailure | None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen until a user acts: the job has ended or is paused."""
        return self.status.is_final or self.status == JobStatus.PAUSED


class JobView(JobState):
    """A job with its spec. `spec` is a JobSpec as JSON, so that specs of newer servers can be read."""

    spec: dict[str, Any]

    def load_spec(self) -> "JobSpec":
        """Return the spec as a JobSpec. Raises pydantic.ValidationError if it contains fields of a newer version."""
        from contracts.job import JobSpec  # noqa: PLC0415  # slow to import, and rarely needed

        return JobSpec.model_validate(self.spec)


class Event(View):
    """A message to users about a job."""

    id: str
    at: UtcDatetime
    level: str
    code: str
    message: str
    attempt: int | None


class LogLine(View):
    """A line of a job's log."""

    at: UtcDatetime
    attempt: int
    source: str
    level: str | None
    text: str


class Columns(View):
    """Points of one series. A non-finite value is None."""

    step: list[int]
    value: list[float | None]


class Artifact(View):
    """A file of a job."""

    name: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Failure(View):
    """Why a dataset was rejected."""

    code: str
    message: str
    param: str | None = None
    hint: str | None = None


class CheckProgress(View):
    """How much of a file the server has checked."""

    bytes: int
    rows: int


class Dataset(View):
    """A dataset."""

    id: str
    status: DatasetStatus
    progress: CheckProgress | None = None
    failure: Failure | None = None
    filename: str
    rows: int
    bytes: int
    forms: dict[str, int]
    created_at: UtcDatetime
    problems: list[str] = []


class UploadedFile(View):
    """The file that an upload in parts became."""

    dataset_id: str


class UploadInParts(View):
    """An upload in parts."""

    id: str
    file: UploadedFile | None


class UploadedPart(View):
    """A part of an upload."""

    id: str


class Quantity(View):
    """A predicted quantity; `value` is None if it is unknown."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class WorkerForecast(View):
    """The job on one worker."""

    worker: str
    device: str
    memory_bytes: int | None
    peak_memory_bytes: Quantity
    fits: bool | None
    seconds: Quantity


class Forecast(View):
    """The forecast of a job."""

    steps: Quantity | None = None
    workers: list[WorkerForecast]
    fits: bool | None
    reason: Note | None
    seconds: Quantity
    warnings: list[Note]


class Plan(View):
    """The plan of a job that has not been submitted."""

    spec: dict[str, Any]
    train_rows: int | None
    eval_rows: int | None
    steps: int | None
    gpus: int | None = None
    waiting: Note | None = None
    data_warnings: list[Note] = []
    forecast: Forecast


class ModelWorker(View):
    """A worker that has a model."""

    id: str
    queue: str
    live: bool


class Model(View):
    """A model on the workers, or the adapter of a job that has succeeded (`base_model` and `job` are set)."""

    id: str
    created: int
    available: bool
    architecture: str | None
    parameters: int | None
    bytes: int | None
    max_length: int | None
    workers: list[ModelWorker]
    base_model: str | None = None
    job: str | None = None


class Device(View):
    """The device that a worker trains on."""

    kind: str
    name: str
    memory_bytes: int
    """Memory of the GPU, or of the host for a CPU; 0 if it is unknown."""


class Worker(View):
    """A worker."""

    id: str
    host: str
    queue: str
    device: Device
    live: bool
    gpus: int
    current_job: str | None
    last_seen_at: UtcDatetime
