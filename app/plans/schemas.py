"""Models of a plan's forecast. They are stored with the job and returned to users."""

from typing import Literal

from pydantic import BaseModel

from app.datasets.review.schemas import JobWarning
from app.models.schemas import ModelCheck
from contracts.failure import Language
from contracts.run.plan import EvaluationCost

Basis = Literal["exact", "measured", "sample", "formula", "model", "settings"]
"""`exact`: known exactly. `measured`: based on tokens counted by a worker. `sample`: estimated from the characters of some rows.
`formula`: not compared with any run yet. `model`: corrected with finished jobs that used the same model on the same kind of device.
`settings`: corrected with such jobs that also had the same settings."""


class Note(BaseModel):
    """A reason or a warning."""

    code: str
    message: str = ""
    """In the caller's language; empty in the database."""
    values: dict[str, float | int | str] = {}


class Quantity(BaseModel):
    """A predicted quantity. If it is unknown, `value` is null and `reason` explains why."""

    value: float | None = None
    low: float | None = None
    """The actual value is expected to be between `low` and `high`."""
    high: float | None = None
    basis: Basis | None = None
    reason: Note | None = None


class TokenForecast(BaseModel):
    """The number of tokens in the rows."""

    per_row: Quantity
    """Mean number of tokens per training row, after truncation at `training.max_length`."""
    longest: Quantity
    """Tokens in the longest row, after truncation."""
    training: Quantity
    """Tokens of all optimizer steps."""
    supervised_share: Quantity
    """Share of supervised tokens, from 0 to 1."""
    padding_saved: Quantity
    """Share of the tokens that would be padding if each sample were padded to the longest one in its micro-batch."""
    note: Note | None = None
    """How to have a worker count the tokens; set only if the figures are estimated from characters."""


class WorkerForecast(BaseModel):
    """The job on the device of one worker."""

    worker: str
    host: str
    device: str
    kind: Literal["cuda", "cpu"]
    memory_bytes: int | None
    """Memory of the device; null if the worker did not report it."""
    peak_memory_bytes: Quantity
    """Peak memory, as in the report: on a CPU, the resident memory of the training process; on a GPU, the memory that torch
    allocates."""
    least_memory_bytes: int | None = None
    """The memory below which the device is too small, with the settings that need least among those that the training program would try."""
    fits: bool | None
    """Whether the device has that much memory; null if that is unknown."""
    activation_checkpointing: bool | None
    micro_batch_tokens: int | None
    """Maximum number of tokens in a micro-batch."""
    micro_batch_rows: float | None
    """Mean number of rows in a full micro-batch."""
    seconds: Quantity
    """Duration of the training program: loading, tokenizing, evaluating, training and saving."""


class DiskForecast(BaseModel):
    """The disk space that checkpoints take on the worker and, if they are uploaded, on the server."""

    checkpoint_bytes: Quantity
    """Size of one checkpoint: the adapter and the optimizer's moments."""
    most_checkpoints: int
    """Size of all kept checkpoints: the newest `checkpoint.keep` ones, and the best."""
    total_bytes: Quantity


class Forecast(BaseModel):
    """What a job will need, as predicted when it was planned."""

    steps: Quantity | None = None
    """Optimizer steps: exact, except for rows of plain text, whose number of samples depends on their tokens. Null in plans of earlier versions."""
    tokens: TokenForecast
    workers: list[WorkerForecast]
    """The live workers that could run the job, at most 20. Workers that the job fits come first, then the fastest."""
    offline_workers: list[WorkerForecast] = []
    """The same for known workers that are offline, at most 20, the latest seen first. The other fields do not consider them."""
    fits: bool | None
    """Whether the job fits a live worker; null if that is unknown."""
    reason: Note | None
    """Why `fits` is not true."""
    seconds: Quantity
    """Duration on the first of `workers`."""
    disk: DiskForecast
    warnings: list[Note]


class Actual(BaseModel):
    """The actual figures of a finished job."""

    worker: str
    device: str
    peak_memory_bytes: int | None
    seconds: float
    """Duration of the training program, like the forecast."""
    tokens: int
    """Tokens of all optimizer steps."""
    tokens_per_row: float
    supervised_share: float | None
    predicted_memory_bytes: float | None
    """The forecast for this device, made at submission; null if there was none."""
    predicted_seconds: float | None


class PlannedRows(BaseModel):
    """What a plan says about a job besides the forecast, with the names of the dry run. Null in plans of earlier versions."""

    train_rows: int | None = None
    eval_rows: int | None = None
    steps: int | None = None
    evaluation: EvaluationCost | None = None
    model: ModelCheck | None = None
    gpus: int | None = None


class KeptPlan(PlannedRows):
    """What is stored with a job besides its forecast."""

    data_warnings: dict[Language, list[JobWarning]]
    """In each language."""


class JobPlan(PlannedRows):
    """The plan made when a job was submitted and, once the job has succeeded, the actual figures."""

    object: Literal["job.plan"] = "job.plan"
    job: str
    data_warnings: list[JobWarning] | None = None
    """Warnings about the uploaded datasets of the job; null in plans of earlier versions."""
    forecast: Forecast | None
    """Null for jobs submitted to earlier versions."""
    actual: Actual | None
    """Null until the job has succeeded."""
