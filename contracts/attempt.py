"""An attempt: one run of a job under one lease. Its messages are claim, sync and finish."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Tolerant, UtcDatetime
from contracts.checkpoint import ResumePoint
from contracts.data_spec import HubDataset
from contracts.failure import Failure
from contracts.job import JobSpec, Phase
from contracts.record import Count, LogLevel, Ordinal, Record
from contracts.summary import Summary
from contracts.wandb import WandbSettings

MOST_CARDS = 1024
"""Maximum number of cards per host."""
Uuid = Annotated[str, Field(max_length=200, pattern="^[!-~]+$")]
"""NVML's identifier of a card."""


class AttemptStatus(StrEnum):
    """The status of an attempt."""

    RUNNING = "running"  # claimed; each sync renews the lease
    SUCCEEDED = "succeeded"  # was running; adapter uploaded, no record missing
    FAILED = "failed"  # was running; a Failure gives the reason
    CANCELLED = "cancelled"  # was running; the training process has ended
    PAUSED = "paused"  # was running; a checkpoint was written
    INTERRUPTED = "interrupted"  # was running; its worker was stopped and requeued the job
    LOST = "lost"  # was running; its worker did not report within the takeover time

    @property
    def is_final(self) -> bool:
        """Whether the attempt has ended."""
        return self is not AttemptStatus.RUNNING


class Wanted(StrEnum):
    """The action that the server requests from a running attempt."""

    CONTINUE = "continue"
    PAUSE = "pause"
    CANCEL = "cancel"


class Device(Tolerant):
    """The device that a worker trains on."""

    kind: Literal["cuda", "cpu"] = "cpu"
    name: str = ""
    uuid: str | None = None
    memory_bytes: int = 0
    """Memory of the GPU, or of the host for a CPU."""


class Idle(Tolerant):
    """Proof that every earlier attempt on a device has ended. A worker sends it while it holds the device's lock.

    `turn` increases with each message, which lets the server detect stale ones.
    """

    slot: str = Field(min_length=1, max_length=100)
    """Name of the lock."""
    turn: Ordinal


class Ability(StrEnum):
    """A feature that only newer workers support. A job that needs it waits for such a worker."""

    MIX_DATASETS = "mix_datasets"  # train on several datasets with weights


class DeviceCheck(Tolerant):
    """Whether a worker's GPU works. The worker tests it before its first claim and after each `device_failed`."""

    passed: bool
    pending: bool = False
    """Whether the device failed during an attempt and has not been checked since. If so, `passed` is false."""
    count: Count = 0
    """Number of checks passed so far."""
    reason: str = Field("", max_length=5000)
    """Why the device failed; empty if it passed."""
    since: UtcDatetime | None = None
    """When the device failed or recovered, by the worker's clock."""


class WorkerInfo(Tolerant):
    """A worker's description of itself, in hello and in each claim."""

    worker_id: str = Field(min_length=1, max_length=200)
    """A name that is stable across restarts. By default, it is derived from the GPU and the work directory's id."""
    host: str = ""
    pid: int = 0
    started_at: UtcDatetime | None = None
    """When this worker process started, by the worker's clock."""
    queue: str = "default"
    device: Device = Device()
    host_id: str = Field("", max_length=100)
    """Identifies one `stepline worker`, whose workers can lend each other cards. It is stable across restarts. Empty:
    unknown."""
    cards: int = Field(1, ge=1, le=MOST_CARDS)
    """Number of cards that this worker could use for one job if all were free: its own and those it can borrow."""
    models: list[str] | None = None
    """Models in its models root, as `name` or `owner/name`; null if it can also download models from the hub."""
    versions: dict[str, str] = {}
    abilities: list[str] = []
    """Features that older workers do not support (Ability)."""
    errands: list[str] = []
    """Kinds of errands that it runs (contracts/errands/errand.py); empty for workers running earlier versions."""
    device_check: DeviceCheck | None = None
    """State of the GPU. Null for a CPU, before the first check, and from workers running earlier versions."""
    idle: Idle | None = None
    """Set only in claims, in the first hello after a start, and in a hello that replaces a claim because the device has
    failed."""


class DatasetFile(Tolerant):
    """An uploaded dataset that the worker downloads: JSONL, one row per line."""

    dataset_id: str
    sha256: str
    """SHA-256 of the JSONL, in hexadecimal."""
    bytes: int
    rows: int


class ClaimRequest(Tolerant):
    """A worker's request for the next job that it can run."""

    worker: WorkerInfo
    claim_id: str | None = Field(None, min_length=1, max_length=100)
    """Random. Retries of a claim send the same value and receive the same attempt and token."""
    free_cards: int = Field(1, ge=1, le=MOST_CARDS)
    """Number of cards, including its own, whose locks the worker holds while it sends this claim."""
    cards_held: list[Uuid] = Field([], max_length=MOST_CARDS)
    """UUIDs of those cards, starting with the worker's own. Empty for a CPU and from workers running earlier
    versions."""


class EarlierAttempt(Tolerant):
    """An earlier attempt of the same job. Its run directory may still be in the work directory of the worker."""

    attempt_id: str
    number: int
    acked_seq: int
    """The server has stored all records up to this number; the worker may now send later ones."""
    usable_to_step: int | None = None
    """Last step from whose checkpoint the job may resume; a later attempt has replaced the steps after it. Null: no
    limit."""


class Claim(Tolerant):
    """A job assigned to a worker. The worker sends the token with every later request."""

    attempt_id: str
    job_id: str
    number: int = Field(ge=1)
    """1 for the job's first attempt."""
    submitted_at: UtcDatetime | None = None
    """When the job was submitted. Servers running earlier versions send null."""
    token: str
    spec: JobSpec
    gpus: int = Field(1, ge=1)
    """Number of cards to train on, including the worker's own; never more than the request's `free_cards`."""
    cards: list[str] = []
    """UUIDs of those cards, starting with the worker's own. Empty if the request had no `cards_held`, and from servers
    running earlier versions."""
    train: DatasetFile | HubDataset | None = None
    """The training dataset; null for a job with several."""
    mixed: list[DatasetFile | HubDataset] = []
    """The training datasets, in the order of the spec, which contains their weights. Empty for a job with one dataset."""
    eval: DatasetFile | HubDataset | None = None
    resume: list[ResumePoint] = []
    """Checkpoints in the server's storage to resume from, in order of preference. The worker skips damaged ones."""
    earlier: list[EarlierAttempt] = []
    wandb: WandbSettings | None = None
    """Where the worker mirrors the metrics; null if the job has no such integration."""
    sync_seconds: float
    """Maximum time between syncs while there is nothing to send."""
    flush_seconds: float
    """Maximum time between a new record and the sync that sends it."""
    lease_seconds: float


class OutputChunk(Tolerant):
    """A part of the training process's output: whole lines of UTF-8."""

    offset: Count
    """Number of output bytes before this chunk."""
    text: str
    bytes: Count
    """Length of the chunk in the output file; the next chunk begins at offset + bytes."""
    at: UtcDatetime


class Note(Tolerant):
    """A message from the supervisor to users. The server stores it as an event."""

    number: int = Field(ge=1)
    """Position among the attempt's notes, from 1, without gaps."""
    code: str = Field(min_length=1, max_length=50)
    level: LogLevel = "info"
    figures: dict[str, str | int | float | None] = {}


class EarlierRecords(Tolerant):
    """Records of an earlier attempt that the worker could not send at the time."""

    records: list[Record] = Field(max_length=1000)


class EarlierReply(Tolerant):
    """How many records of the earlier attempt the server has stored."""

    acked_seq: int


class SystemSample(Tolerant):
    """The supervisor's measurements of its host. Not records, because only the training program numbers records."""

    seq: Ordinal
    """Position among the attempt's samples, from 1; a lost sample leaves a permanent gap."""
    at: UtcDatetime
    values: dict[str, float]
    """By name: `sys.cpu_percent` (all processors) · `sys.process_rss_bytes` (the training process) ·
    `sys.host_memory_bytes` (in use) · `sys.disk_free_bytes` (of the disk of the run directory) · `sys.gpu_percent` ·
    `sys.gpu_memory_bytes` (in use) · `sys.gpu_power_watts` · `sys.gpu_celsius` · `sys.gpu_throttle_reasons` (NVML's bit
    mask). If an attempt uses several GPUs, the last five names refer to the first one; the names for the others end in
    `.1`, `.2`, … (`sys.gpu_percent.1`). Values that cannot be measured are omitted."""


class RowProgress(Tolerant):
    """The training program's progress in the current phase, in rows. Each message replaces the previous one."""

    phase: Phase
    rows_done: Count
    rows_total: Count
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Time spent on the processed rows."""
    seconds_left: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Estimated time for the remaining rows, based on the work they require; null until the first row is processed."""


class SyncRequest(Tolerant):
    """Sends an attempt's new data and renews its lease. Safe to retry."""

    records: list[Record] = Field([], max_length=1000)
    output: OutputChunk | None = None
    samples: list[SystemSample] = Field([], max_length=1000)
    phase: Phase | None = None
    """The supervisor's own phase (placing, uploading); null while the training program's records report the phase."""
    notes: list[Note] = Field([], max_length=100)
    rows: RowProgress | None = None
    """Row progress in the training program's phase; null while no rows are counted. Older servers ignore it."""


class SyncReply(Tolerant):
    """How much the server has stored, and the action it requests."""

    wanted: Wanted
    lease_seconds: float
    acked_seq: int
    """The server has stored every record up to this one."""
    acked_output: int
    """Number of output bytes stored by the server."""
    acked_note: int = 0
    """The server has stored an event for every note up to this one."""


class Outcome(Tolerant):
    """How a training process ended; the process writes this file last."""

    status: Literal["succeeded", "failed", "cancelled", "paused", "interrupted"]
    failure: Failure | None = None
    """Set if and only if the status is `failed`."""
    step: int = 0
    """The last completed step."""


class FinishRequest(Tolerant):
    """Ends an attempt. Rejected with 409 `records_missing` while any record up to `last_seq` is missing."""

    outcome: Outcome
    summary: Summary | None = None
    """Set if and only if the outcome is `succeeded`."""
    last_seq: int = Field(ge=0)
    """Number of the attempt's last record."""


class FinishReply(Tolerant):
    """The job's status after its attempt has ended."""

    job_status: str
