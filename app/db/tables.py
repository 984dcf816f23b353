"""All tables. The rules about them live in the rooms; each change of a status is one guarded UPDATE in a store."""

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
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from contracts.attempt import AttemptStatus
from contracts.job import JobStatus, Phase


def to_json(model: BaseModel) -> dict[str, Any]:
    """Return a contract model as a JSON column holds it; non-finite floats become strings."""
    content: dict[str, Any] = json.loads(model.model_dump_json())
    return content


class UtcTime(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite, which knows no zones, holds it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: nobody could say what they mean."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back what was put in, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def _enum(kind: type[StrEnum]) -> Enum:
    return Enum(
        kind, native_enum=False, length=20, values_callable=lambda values: [v.value for v in values]
    )


class Base(DeclarativeBase):
    """What all tables share: named constraints, so that a migration can speak of them."""

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
    }


_QUEUED = text("status = 'queued'")
_RUNNING = text("status = 'running'")
_BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER key


class Dataset(Base):
    """An uploaded dataset. Its rows lie as JSONL in the data directory."""

    __tablename__ = "datasets"

    number: Mapped[int] = mapped_column(_BigId, primary_key=True)
    """Order of upload."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    filename: Mapped[str] = mapped_column(String(255))
    upload_sha256: Mapped[str] = mapped_column(String(64))
    upload_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the stored JSONL, as `bytes` is its length."""
    bytes: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    forms: Mapped[dict[str, Any]]
    """Rows of each form: alpaca, prompt, messages."""
    path: Mapped[str] = mapped_column(String(400))
    """Below the data directory."""
    created_at: Mapped[datetime]


class Job(Base):
    """What a user asked for, and how far it is."""

    __tablename__ = "jobs"
    __table_args__ = (
        # The order of claims: of a queue, and of one model's jobs in it. The status is always the same there; it leads so
        # that SQLite's planner prefers these to the index over every status.
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
            "ix_jobs_model_order",
            "status",
            "queue",
            "model",
            desc("priority"),
            "number",
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        # The order of lists: of all jobs, and of those with one status.
        Index("ix_jobs_created_at_number", "created_at", "number"),
        Index("ix_jobs_status_created_at_number", "status", "created_at", "number"),
    )

    number: Mapped[int] = mapped_column(_BigId, primary_key=True)
    """Order of submission; equal priorities are claimed by it."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    status: Mapped[JobStatus]
    version: Mapped[int] = mapped_column(default=1)
    """Counts every change that a reader can see."""
    spec: Mapped[dict[str, Any]]
    model: Mapped[str] = mapped_column(String(200))
    queue: Mapped[str] = mapped_column(String(50))
    priority: Mapped[int]
    train_dataset_id: Mapped[str | None] = mapped_column(
        ForeignKey("datasets.id", ondelete="SET NULL"), index=True
    )
    eval_dataset_id: Mapped[str | None] = mapped_column(
        ForeignKey("datasets.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    """Not claimed earlier than this: the wait after a loss."""
    cancel_requested_at: Mapped[datetime | None]
    pause_requested_at: Mapped[datetime | None]
    """Asked for while it runs; taken back by resume, gone once it is paused."""

    attempt_number: Mapped[int] = mapped_column(default=0)
    """Attempts so far."""
    current_attempt_id: Mapped[str | None] = mapped_column(String(80))
    losses: Mapped[int] = mapped_column(default=0)
    """Losses in a row without a new checkpoint between them."""
    checkpoint_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """Step of the furthest checkpoint that any attempt wrote."""
    lost_checkpoint_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """checkpoint_step at the last loss."""

    phase: Mapped[Phase | None]
    step: Mapped[int] = mapped_column(BigInteger, default=0)
    total_steps: Mapped[int | None] = mapped_column(BigInteger)
    epoch: Mapped[float | None]
    last_loss: Mapped[float | None]
    eval_loss: Mapped[float | None]
    seconds_per_step: Mapped[float | None]
    """Moving average of the recent steps' durations."""
    eval_seconds: Mapped[float | None]
    """Duration of the last evaluation."""
    rows_done: Mapped[int | None] = mapped_column(BigInteger)
    """Rows of the present phase (tokenizing, evaluating) that are done, and"""
    rows_total: Mapped[int | None] = mapped_column(BigInteger)
    """all of them; null in a phase that counts none."""
    rows_seconds: Mapped[float | None]
    """Time spent on the rows done, and"""
    rows_seconds_left: Mapped[float | None]
    """the worker's estimate for the others."""
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class JobLabel(Base):
    """A job's labels, for filtering."""

    __tablename__ = "job_labels"
    __table_args__ = (
        # The order of lists, of the jobs with one label.
        Index("ix_job_labels_key_value_created_at_number", "key", "value", "created_at", "number"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime | None]
    """The job's, and"""
    number: Mapped[int | None] = mapped_column(BigInteger)
    """the job's: its place in a list. Null only where a server of an earlier version stored the label after the
    migration; such a job is not found by it."""


class JobText(Base):
    """What a search looks through, apart from the wide rows of jobs."""

    __tablename__ = "job_texts"

    number: Mapped[int] = mapped_column(
        _BigId, ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    text: Mapped[str] = mapped_column(Text)
    """Name, model and id, a line each, case-folded."""


class Attempt(Base):
    """One try at a job under one lease."""

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
    """The worker's own words at the claim."""
    slot_id: Mapped[str | None] = mapped_column(String(100))
    """The device's lock under which it trains, and"""
    slot_turn: Mapped[int | None] = mapped_column(BigInteger)
    """the lock's turn at the claim. Once the worker holds the lock for a later turn, this attempt is over."""
    started_at: Mapped[datetime]
    synced_at: Mapped[datetime]
    """Last sign of life."""
    lease_expires_at: Mapped[datetime]
    """From here on it is shown as unreachable."""
    takeover_at: Mapped[datetime]
    """From here on it is lost."""
    ended_at: Mapped[datetime | None]
    seen_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """Highest record stored."""
    acked_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """Every record up to this one is stored."""
    folded_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Records up to this one are in curve blocks as well; a multiple of a block's length."""
    acked_output: Mapped[int] = mapped_column(BigInteger, default=0)
    """Bytes of output stored, without a gap."""
    acked_note: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Every note of its supervisor up to this one has become an event."""
    first_step: Mapped[int | None] = mapped_column(BigInteger)
    """The first step it trained; from there on its points replace those of earlier attempts. The step after the last one
    where it ended a run that had nothing left to train."""
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    resumed_from: Mapped[int | None]
    """Number of the attempt, and"""
    resumed_step: Mapped[int | None] = mapped_column(BigInteger)
    """the step of its checkpoint, from which this one went on; null while it has not said so, and where it began anew."""
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    settled_as: Mapped[JobStatus | None]
    """What its end made of the job."""


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
    """Its other fields."""


class CurveBlock(Base):
    """A series over a fixed run of an attempt's records, thinned; made from the records, which stay the truth."""

    __tablename__ = "curve_blocks"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    """Of the series."""
    level: Mapped[int] = mapped_column(primary_key=True)
    """1 is the finest."""
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Place among the blocks of its level, from 0."""
    total: Mapped[int] = mapped_column(BigInteger)
    """Points of the series in these records, before thinning."""
    first_step: Mapped[int] = mapped_column(BigInteger)
    """Smallest step."""
    last_step: Mapped[int] = mapped_column(BigInteger)
    """Largest step."""
    points: Mapped[bytes] = mapped_column(LargeBinary)
    """What is kept, packed by app.series.points."""


class Sample(Base):
    """What a supervisor measured of its machine at a moment of an attempt."""

    __tablename__ = "samples"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Place among the attempt's samples, from 1; apart from its records."""
    step: Mapped[int | None] = mapped_column(BigInteger)
    """Last step that was known when it came; null before the first."""
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]
    """Values by name."""


class Output(Base):
    """A piece of what a training process printed."""

    __tablename__ = "output_chunks"

    attempt_id: Mapped[str] = mapped_column(
        ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True
    )
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Event(Base):
    """What a person should know happened. Kept as code and figures, worded when read."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
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
    """Below the data directory."""
    created_at: Mapped[datetime]


class Checkpoint(Base):
    """A checkpoint that an attempt wrote: on its worker's disk, and here once it is stored."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("attempt_id", "step"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    step: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100))
    bytes: Mapped[int] = mapped_column(BigInteger)
    eval_loss: Mapped[float | None]
    """Taken at this very step."""
    created_at: Mapped[datetime]
    stored_at: Mapped[datetime | None]
    """Since when every file of it is in the server's storage; null: only on the worker's disk."""
    files: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    """CheckpointFile of each file, once it is offered."""
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Commits of the hub that its attempt trained on (Origin)."""


class CheckpointBlob(Base):
    """A file of a job's checkpoints, held once however many of them have it."""

    __tablename__ = "checkpoint_blobs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(400))
    """Below the data directory."""
    created_at: Mapped[datetime]


class Worker(Base):
    """A worker that has said hello."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    queue: Mapped[str] = mapped_column(String(200), index=True)
    info: Mapped[dict[str, Any]]
    """Its WorkerInfo."""
    slot_id: Mapped[str | None] = mapped_column(String(100))
    slot_turn: Mapped[int | None] = mapped_column(BigInteger)
    """The latest turn of its device's lock that was heard of; what was sent in an earlier one came late."""
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class IdempotencyKey(Base):
    """The answer that was given to a POST, for as long as its key is kept."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request's body."""
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)


class Leader(Base):
    """Who does a task that one process at a time may do."""

    __tablename__ = "leaders"

    task: Mapped[str] = mapped_column(String(50), primary_key=True)
    holder: Mapped[str] = mapped_column(String(80))
    beat_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Bell(Base):
    """When a queue was last rung."""

    __tablename__ = "bells"

    queue: Mapped[str] = mapped_column(String(50), primary_key=True)
    rung_at: Mapped[datetime]
