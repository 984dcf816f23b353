"""Tables for OpenAI's API: uploaded files, requests for fine-tuning jobs, and the sizes of result files."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables import Base, BigId


class File(Base):
    """A file as OpenAI's clients see it. Several files may refer to the same dataset."""

    __tablename__ = "files"
    __table_args__ = (Index("ix_files_created_at_number", "created_at", "number"),)

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    """Order of upload."""
    id: Mapped[str] = mapped_column(String(80), unique=True)
    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), index=True
    )
    filename: Mapped[str] = mapped_column(String(255))
    bytes: Mapped[int] = mapped_column(BigInteger)
    """Size of the uploaded file."""
    owns_dataset: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the dataset was stored for this file. If it was stored for any of its files, it is deleted when the last file
    that refers to it is deleted."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    """When the file is deleted; null if it does not expire."""


class FormerFile(Base):
    """The place of a deleted file in the list of files, for clients that delete files while they page through the list."""

    __tablename__ = "deleted_files"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    """When the file was uploaded."""
    deleted_at: Mapped[datetime] = mapped_column(index=True)


class FineTune(Base):
    """The files and the model that an OpenAI client named when it created a job."""

    __tablename__ = "fine_tunes"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    training_file: Mapped[str] = mapped_column(String(80))
    """The file may have been deleted since."""
    validation_file: Mapped[str | None] = mapped_column(String(80))
    model: Mapped[str | None] = mapped_column(String(200))
    """The name of the model in the request; null if an earlier version created the job."""
    wandb: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Where the metrics are mirrored (WandbSettings); null if the request had no such integration."""


class CreateRequest(Base):
    """A request that creates a job, from a client that numbers its retries. The row is kept for as long as retries are recognised."""

    __tablename__ = "create_requests"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    """Order of arrival."""
    digest: Mapped[str] = mapped_column(String(64), index=True)
    """SHA-256 of the peer, its key and the body."""
    retry: Mapped[int]
    """Number of the latest retry; 0 for the first request. Negative as long as only retries have arrived."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    """The job that one of the requests created."""
    seen_at: Mapped[datetime] = mapped_column(index=True)
    """Time of the most recent request."""


class ResultFile(Base):
    """The size of a finished job's result file, so that listing files does not require building it. The file is built when it is downloaded."""

    __tablename__ = "result_files"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
