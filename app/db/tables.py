"""All tables. The feature packages contain their rules; each status change is a guarded UPDATE in a store."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    desc,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from contracts.attempt import AttemptStatus
from contracts.dataset.status import DatasetStatus
from contracts.errands.errand import ErrandKind, ErrandStatus
from contracts.job import JobStatus, Phase


def to_json(model: BaseModel) -> dict[str, Any]:
    """Return a contract model as JSON column content; non-finite floats become strings."""
    content: dict[str, Any] = json.loads(model.model_dump_json())
    return content


class UtcTime(TypeDecorator[datetime]):
    """A timezone-aware time in UTC. SQLite does not support time zones and stores it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC. Raises ValueError for a naive time, because it is ambiguous."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def _enum(kind: type[StrEnum]) -> Enum:
    return Enum(
        kind, native_enum=False, length=20, values_callable=lambda values: [v.value for v in values]
    )


class Base(DeclarativeBase):
    """Base of all tables. Constraints are named so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        float: Double,
        JobStatus: _enum(JobStatus),
        AttemptStatus: _enum(AttemptStatus),
        Phase: _enum(Phase),
        DatasetStatus: _enum(DatasetStatus),
        ErrandKind: _enum(ErrandKind),
        ErrandStatus: _enum(ErrandStatus),
    }


_QUEUED = text("status = 'queued'")
_RUNNING = text("status = 'running'")
_UNCHECKED = text("passed_at IS NULL")
_RESERVED = text("reserved_host IS NOT NULL")
_OPEN = text("status IN ('queued', 'running')")
BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite auto-increments only an INTEGER key


class Dataset(Base):
    """An uploaded dataset. Its rows are stored as JSONL in the data directory."""

    __tablename__ = "datasets"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    """Order of upload."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    filename: Mapped[str] = mapped_column(String(255))
    upload_sha256: Mapped[str] = mapped_column(String(64))
    upload_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    """SHA-256 of the stored JSONL; `bytes` is its length. Datasets with the same JSONL share one file."""
    bytes: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    forms: Mapped[dict[str, Any]]
    """Number of rows per format (alpaca, prompt, messages, …)."""
    features: Mapped[dict[str, Any] | None]
    """Chat template features that the rows need (RowFeatures); null if an earlier version stored the dataset."""
    columns: Mapped[dict[str, Any] | None]
    """The format and column names chosen at upload; null if none were chosen."""
    source: Mapped[dict[str, Any] | None]
    """Where an imported dataset comes from (DatasetOrigin); null for uploads."""
    path: Mapped[str] = mapped_column(String(400))
    """Relative to the data directory; empty unless the dataset is ready."""
    status: Mapped[DatasetStatus] = mapped_column(
        default=DatasetStatus.READY, server_default=DatasetStatus.READY.value
    )
    """Until the dataset is ready, `sha256`, `bytes`, `rows`, `forms` and `features` are empty."""
    created_at: Mapped[datetime]


class DatasetReview(Base):
    """Warnings and statistics of a dataset's rows."""

    __tablename__ = "dataset_reviews"

    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    )
    rules: Mapped[int]
    """Version of the checks that produced the review."""
    review: Mapped[dict[str, Any]]
    """Codes, values and places; the messages are added when the review is read."""
    hashes: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    """Hashes of the distinct rows (`checks/copies.py`), at most 1.6 MB."""
    created_at: Mapped[datetime]


class DatasetValidation(Base):
    """The check of a large file, while it is pending or after it has failed. Deleted once the dataset is ready."""

    __tablename__ = "dataset_validations"

    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    )
    upload_path: Mapped[str] = mapped_column(String(400))
    """The received file, relative to the data directory; empty after a failure, because the file is deleted."""
    encoding: Mapped[str | None] = mapped_column(String(20))
    tries: Mapped[int]
    """How many times a server has started the check."""
    token: Mapped[str | None] = mapped_column(String(80))
    """Held by the server that runs the check; null if none does."""
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    """When the server's lease ends; null if no server runs the check."""
    checked_bytes: Mapped[int] = mapped_column(BigInteger)
    checked_rows: Mapped[int] = mapped_column(BigInteger)
    refusal: Mapped[dict[str, Any] | None]
    """Why the check failed (Refusal)."""
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it failed."""


class Job(Base):
    """A submitted job and its progress."""

    __tablename__ = "jobs"
    __table_args__ = (
        # Claim order within a queue: of all jobs, of jobs that need the same number of GPUs, and of those with the same
        # model. The status is constant in these partial indexes; it comes first so that SQLite's planner prefers them
        # to the index over all statuses.
        Index(
            "ix_jobs_queue_order",
            "status",
            "queue",
            desc("priority"),
            "number",
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        Index(
            "ix_jobs_gpus_order",
            "status",
            "queue",
            "gpus",
            desc("priority"),
            "number",
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        Index(
            "ix_jobs_model_order",
            "status",
            "queue",
            "gpus",
            "model",
            desc("priority"),
            "number",
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        # Sort orders for listing all jobs, and for listing jobs with a given status.
        Index("ix_jobs_archived_created_at_number", "archived", "created_at", "number"),
        Index("ix_jobs_archived_ended_at_number", "archived", "ended_at", "number"),
        Index("ix_jobs_archived_eval_loss_number", "archived", "eval_loss", "number"),
        Index(
            "ix_jobs_status_archived_created_at_number",
            "status",
            "archived",
            "created_at",
            "number",
        ),
        # Sort order for listing queued jobs across all queues.
        Index(
            "ix_jobs_queued_list_order",
            "status",
            "archived",
            desc("priority"),
            "number",
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        # Used to decide whether a worker that cannot mix datasets should pass its ring on.
        Index(
            "ix_jobs_queued_mixed",
            "queue",
            postgresql_where=text("status = 'queued' AND is_mixed"),
            sqlite_where=text("status = 'queued' AND is_mixed = 1"),
        ),
        Index(
            "ix_jobs_reserved_host",
            "reserved_host",
            postgresql_where=_RESERVED,
            sqlite_where=_RESERVED,
        ),
    )

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    """Order of submission; jobs of equal priority are claimed in this order."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    status: Mapped[JobStatus]
    version: Mapped[int] = mapped_column(default=1)
    """Incremented with each visible change."""
    spec: Mapped[dict[str, Any]]
    """As submitted. Edits do not change it."""
    edited: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """`name` and `labels` once a user has edited either; null while the spec's values apply."""
    notes: Mapped[str | None] = mapped_column(Text)
    archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Archived jobs are listed only on request."""
    model: Mapped[str] = mapped_column(String(200))
    queue: Mapped[str] = mapped_column(String(50))
    priority: Mapped[int]
    """The priority in the spec, until a user changes it."""
    gpus: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """Number of GPUs that the job needs on one host; 0 means all of the host's GPUs, up to `most_gpus`."""
    most_gpus: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """Maximum number of GPUs that the job uses."""
    least_cpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Host memory below which a CPU does not get the job; null if unknown."""
    least_gpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """GPU memory below which a GPU does not get the job; null if unknown."""
    reserved_host: Mapped[str | None] = mapped_column(String(100))
    """Id of the host reserved for the job, which does not start later jobs until enough of its GPUs are free. Null if
    none is reserved."""
    reserved_until: Mapped[datetime | None]
    """Time after which another host may take over the reservation."""
    reserved_seconds: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How long the latest reservation lasts before another host may take over; 0 if no host has been reserved yet."""
    larger_until: Mapped[datetime | None]
    """Until this time, a job that requests all GPUs is left to larger hosts. Null until a smaller host asks for the job."""
    train_dataset_id: Mapped[str | None] = mapped_column(
        ForeignKey("datasets.id", ondelete="SET NULL"), index=True
    )
    """The uploaded training dataset; null for a dataset on the hub and for several datasets (JobDataset)."""
    eval_dataset_id: Mapped[str | None] = mapped_column(
        ForeignKey("datasets.id", ondelete="SET NULL"), index=True
    )
    is_mixed: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the job trains on several datasets. Workers running earlier versions do not get it."""
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    """The job cannot be claimed before this time; null if it can be claimed immediately."""
    cancel_requested_at: Mapped[datetime | None]
    pause_requested_at: Mapped[datetime | None]
    """Set by a pause request on a running job; cleared by a resume and when the attempt ends."""

    attempt_number: Mapped[int] = mapped_column(default=0)
    """Number of attempts so far."""
    current_attempt_id: Mapped[str | None] = mapped_column(String(80))
    losses: Mapped[int] = mapped_column(default=0)
    """Consecutive lost or retried attempts without a new checkpoint."""
    checkpoint_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """Highest step at which an attempt has written a checkpoint."""
    lost_checkpoint_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """Value of `checkpoint_step` when `losses` last changed."""

    phase: Mapped[Phase | None]
    step: Mapped[int] = mapped_column(BigInteger, default=0)
    total_steps: Mapped[int | None] = mapped_column(BigInteger)
    epoch: Mapped[float | None]
    last_loss: Mapped[float | None]
    eval_loss: Mapped[float | None]
    """Loss of the last evaluation after step 0."""
    seconds_per_step: Mapped[float | None]
    """Moving average of step durations."""
    eval_seconds: Mapped[float | None]
    """Duration of the last evaluation."""
    rows_done: Mapped[int | None] = mapped_column(BigInteger)
    """Rows processed in the current phase (tokenizing, evaluating)."""
    rows_total: Mapped[int | None] = mapped_column(BigInteger)
    """Total rows of the current phase; null in a phase that does not count rows."""
    rows_seconds: Mapped[float | None]
    """Time spent on the processed rows."""
    rows_seconds_left: Mapped[float | None]
    """The worker's estimate for the remaining rows."""
    health: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    """A RaisedFinding for each rule that found a problem; null if there are none."""
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class JobLabel(Base):
    """One label of a job, for filtering."""

    __tablename__ = "job_labels"
    __table_args__ = (
        # Sort order for listing jobs with a given label.
        Index("ix_job_labels_list_order", "key", "value", "archived", "created_at", "number"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime | None]
    """Copy of the job's `created_at`."""
    number: Mapped[int | None] = mapped_column(BigInteger)
    """Copy of the job's `number`. Together with `created_at`, it determines the job's place in a list. Both are null
    only if a server running an earlier version stored the label after the migration; label filters miss these jobs."""
    archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Copy of the job's `archived`."""


class JobTrace(Base):
    """The trace used by the rules for running jobs, in a separate table because only worker messages read it."""

    __tablename__ = "job_traces"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    trace: Mapped[bytes] = mapped_column(LargeBinary)
    """An encoded Trace."""
    attempt: Mapped[int]
    """Number of the most recently judged attempt."""
    stepped_at: Mapped[datetime | None]
    """When the server received the newest step, or when the attempt began to train; null while it is not training."""


class JobText(Base):
    """Searchable text of a job, in a separate table because rows of `jobs` are wide."""

    __tablename__ = "job_texts"
    __table_args__ = (
        # Sort order for listing by name.
        Index("ix_job_texts_archived_name_number", "archived", "name", "number"),
    )

    number: Mapped[int] = mapped_column(
        BigId, ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    text: Mapped[str] = mapped_column(Text)
    """Name, model and id, one per line, case-folded."""
    name: Mapped[str | None] = mapped_column(
        String(100).with_variant(String(100, collation="C"), "postgresql")
    )
    """Start of the case-folded name, for sorting by code point; null if the job has no name, or if a server running an
    earlier version stored the job after the migration."""
    archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Copy of the job's `archived`."""


class Attempt(Base):
    """An attempt at a job, under one lease."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index(
            "ix_attempts_running",
            "takeover_at",
            postgresql_where=_RUNNING,
            sqlite_where=_RUNNING,
        ),
        Index(
            "ix_attempts_running_worker_id",
            "worker_id",
            postgresql_where=_RUNNING,
            sqlite_where=_RUNNING,
        ),
    )

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int]
    status: Mapped[AttemptStatus]
    token_sha256: Mapped[str] = mapped_column(String(64))
    worker_id: Mapped[str] = mapped_column(String(200))
    worker: Mapped[dict[str, Any]]
    """The worker's description, sent with the claim."""
    gpus: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """Number of assigned GPUs."""
    cards: Mapped[list[str] | None]
    """UUIDs of the GPUs, starting with the worker's own; empty for CPUs, and empty or null if the worker did not report
    them."""
    slot_id: Mapped[str | None] = mapped_column(String(100))
    """Id of the device lock that the worker held at the time of the claim."""
    slot_turn: Mapped[int | None] = mapped_column(BigInteger)
    """The lock's turn at the time of the claim. Once the worker holds the lock with a later turn, this attempt has
    ended."""
    started_at: Mapped[datetime]
    synced_at: Mapped[datetime]
    """Time of the worker's last request for this attempt."""
    lease_expires_at: Mapped[datetime]
    """Time after which the job is shown as unreachable."""
    takeover_at: Mapped[datetime]
    """Time after which the attempt is lost."""
    ended_at: Mapped[datetime | None]
    seen_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """Highest number of any stored record."""
    acked_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """Every record up to this one is stored."""
    folded_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Records up to this one are also in curve blocks; a multiple of the block length."""
    acked_output: Mapped[int] = mapped_column(BigInteger, default=0)
    """Length in bytes of the output stored without gaps."""
    acked_note: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Every supervisor note up to this one is stored as an event."""
    judged_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Records up to this one are in the job's trace."""
    judged_at: Mapped[datetime | None]
    """When the job's health was last judged."""
    first_step: Mapped[int | None] = mapped_column(BigInteger)
    """This attempt's first step, from which its points replace those of earlier attempts. If no steps remained, the
    step after the last one."""
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    resumed_from: Mapped[int | None]
    """Number of the attempt whose checkpoint this one resumed from."""
    resumed_step: Mapped[int | None] = mapped_column(BigInteger)
    """Step of that checkpoint. Both are null until the worker reports them, and if the attempt started from step 0."""
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    settled_as: Mapped[JobStatus | None]
    """The job's status after this attempt ended."""


class DeviceFailure(Base):
    """An attempt that ended with `device_failed`, on a worker that checks its device."""

    __tablename__ = "device_failures"
    __table_args__ = (
        # Failures that count against a device, and unchecked ones; both are few. Each dialect's planner recognises the
        # condition only in the form that SQLAlchemy generates for it.
        Index(
            "ix_device_failures_blamed_worker_id",
            "worker_id",
            postgresql_where=text("blames_device"),
            sqlite_where=text("blames_device = 1"),
        ),
        Index(
            "ix_device_failures_unchecked_worker_id",
            "worker_id",
            postgresql_where=_UNCHECKED,
            sqlite_where=_UNCHECKED,
        ),
    )

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int]
    """The attempt's number."""
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    worker_id: Mapped[str] = mapped_column(String(200), index=True)
    worker_started_at: Mapped[datetime | None]
    device: Mapped[str] = mapped_column(String(200))
    """The GPU's uuid, or the worker's id if the uuid is unknown."""
    check_count: Mapped[int] = mapped_column(BigInteger)
    """Number of checks that the device had passed at the start of the attempt."""
    checkpoint_step: Mapped[int] = mapped_column(BigInteger)
    """The job's `checkpoint_step` when the device failed."""
    failed_at: Mapped[datetime]
    passed_at: Mapped[datetime | None]
    """When the device passed a check after this failure; null until then."""
    blames_job: Mapped[bool] = mapped_column(default=True, server_default=true())
    """False after a user has retried the job."""
    blames_device: Mapped[bool] = mapped_column(default=True, server_default=true())
    """False after a job has succeeded on the worker."""


class Record(Base):
    """One record of an attempt, stored once."""

    __tablename__ = "records"
    __table_args__ = (Index("ix_records_attempt_id_type_seq", "attempt_id", "type", "seq"),)

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    type: Mapped[str] = mapped_column(String(50))
    step: Mapped[int | None] = mapped_column(BigInteger)
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]
    """The record's remaining fields."""


class CurveBlock(Base):
    """A thinned series over a fixed range of an attempt's records. Derived data; the records are authoritative."""

    __tablename__ = "curve_blocks"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    """Name of the series."""
    level: Mapped[int] = mapped_column(primary_key=True)
    """1 is the finest."""
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Index of the block within its level, from 0."""
    total: Mapped[int] = mapped_column(BigInteger)
    """Number of points before thinning."""
    first_step: Mapped[int] = mapped_column(BigInteger)
    """Smallest step."""
    last_step: Mapped[int] = mapped_column(BigInteger)
    """Largest step."""
    points: Mapped[bytes] = mapped_column(LargeBinary)
    """The remaining points, packed by app.series.points."""


class Sample(Base):
    """Measurements that a supervisor took of its machine at one point in time."""

    __tablename__ = "samples"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Sequence number within the attempt's samples, from 1; independent of the records' numbering."""
    step: Mapped[int | None] = mapped_column(BigInteger)
    """Last known step when the sample arrived; null before the first step."""
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]
    """Values by name."""


class Output(Base):
    """A chunk of a training process's output."""

    __tablename__ = "output_chunks"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Event(Base):
    """An event shown to users. It is stored as a code and values; the text is generated when the event is read."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int | None]
    at: Mapped[datetime]
    code: Mapped[str] = mapped_column(String(50))
    level: Mapped[str] = mapped_column(String(10))
    data: Mapped[dict[str, Any]]


class Artifact(Base):
    """A file that an attempt uploaded."""

    __tablename__ = "artifacts"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(400))
    """Relative to the data directory."""
    created_at: Mapped[datetime]


class Checkpoint(Base):
    """A checkpoint written by an attempt. It is on the worker's disk and, once stored, on the server."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("attempt_id", "step"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    step: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100))
    bytes: Mapped[int] = mapped_column(BigInteger)
    eval_loss: Mapped[float | None]
    """Evaluation loss at exactly this step."""
    created_at: Mapped[datetime]
    stored_at: Mapped[datetime | None]
    """Time at which all files were on the server; null while the checkpoint is only on the worker's disk."""
    files: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    """A CheckpointFile for each file; null until the worker has offered the checkpoint."""
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The commits of the hub repositories that the attempt used (Origin)."""


class CheckpointBlob(Base):
    """A file of a job's checkpoints, stored once even if several checkpoints contain it."""

    __tablename__ = "checkpoint_blobs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(400))
    """Relative to the data directory."""
    created_at: Mapped[datetime]


class Worker(Base):
    """A worker that has registered with a hello request."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    queue: Mapped[str] = mapped_column(String(200), index=True)
    info: Mapped[dict[str, Any]]
    """The worker's WorkerInfo."""
    slot_id: Mapped[str | None] = mapped_column(String(100))
    slot_turn: Mapped[int | None] = mapped_column(BigInteger)
    """Latest known turn of the worker's device lock. Messages from earlier turns are stale."""
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class WorkerModel(Base):
    """A model in a worker's models root, as last reported by the worker."""

    __tablename__ = "worker_models"

    worker_id: Mapped[str] = mapped_column(
        ForeignKey("workers.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(
        String(200).with_variant(String(200, collation="C"), "postgresql"),
        primary_key=True,
        index=True,
    )
    """Lists are sorted by this column, in Python's string order."""
    facts: Mapped[dict[str, Any]]
    """The model's ModelFacts."""
    first_seen_at: Mapped[datetime]
    reported_at: Mapped[datetime]


class Errand(Base):
    """A short task that a worker runs alongside its attempts, and its result."""

    __tablename__ = "errands"
    __table_args__ = (
        # Identical requests share one errand while it is open.
        Index(
            "ix_errands_open_key",
            "key",
            unique=True,
            postgresql_where=_OPEN,
            sqlite_where=_OPEN,
        ),
    )

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    """Order of creation."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    kind: Mapped[ErrandKind]
    key: Mapped[str] = mapped_column(String(64), index=True)
    """SHA-256 of the request."""
    status: Mapped[ErrandStatus]
    model: Mapped[str] = mapped_column(String(200))
    """Empty for an import."""
    dataset_id: Mapped[str | None] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), index=True
    )
    """The dataset whose rows the result contains."""
    request: Mapped[dict[str, Any]]
    """The ErrandRequest."""
    tries: Mapped[int]
    """How many workers have claimed it."""
    worker_id: Mapped[str | None] = mapped_column(String(200))
    """The worker that claimed it last."""
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[dict[str, Any] | None]
    """The last ErrandProgress."""
    result: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    """The ErrandResult as JSON, compressed with zlib."""
    failure: Mapped[dict[str, Any] | None]
    """The ErrandFailure."""
    created_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    """Time at which a queued errand fails if no worker has claimed it, or at which the lease of a running one ends."""
    finished_at: Mapped[datetime | None]


class PartialUpload(Base):
    """A file that is uploaded in parts."""

    __tablename__ = "uploads"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    id: Mapped[str] = mapped_column(String(80), unique=True)
    filename: Mapped[str] = mapped_column(String(255))
    bytes: Mapped[int] = mapped_column(BigInteger)
    """Declared size of the file."""
    status: Mapped[str] = mapped_column(String(20))
    """`pending`, `completed`, `cancelled` or `expired`."""
    dataset_id: Mapped[str | None] = mapped_column(String(80))
    """The dataset of a completed upload, which may have been deleted since."""
    file_id: Mapped[str | None] = mapped_column(String(80))
    """The file of a completed upload, which may have been deleted since; null if an earlier version completed it."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """Time at which a pending upload expires."""
    file_seconds: Mapped[int | None]
    """Lifetime of the file that the upload becomes; null if the file does not expire."""
    ended_at: Mapped[datetime | None]


class UploadPart(Base):
    """A part of an upload that has not ended."""

    __tablename__ = "upload_parts"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    """Order of arrival."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(400), index=True)
    """Relative to the data directory."""
    created_at: Mapped[datetime]


class IdempotencyKey(Base):
    """The response to a POST, stored until its key expires."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request's body."""
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)


class Leader(Base):
    """The process that currently runs a task. Only one process may run a task at a time."""

    __tablename__ = "leaders"

    task: Mapped[str] = mapped_column(String(50), primary_key=True)
    holder: Mapped[str] = mapped_column(String(80))
    beat_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Bell(Base):
    """When a queue's doorbell last rang."""

    __tablename__ = "bells"

    queue: Mapped[str] = mapped_column(String(50), primary_key=True)
    rung_at: Mapped[datetime]
