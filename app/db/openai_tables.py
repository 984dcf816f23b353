"""Tables for OpenAI's API: uploaded files, and the files named in requests for fine-tuning jobs."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables import Base, BigId


class File(Base):
    """A file as OpenAI's clients see it. Several files may refer to the same dataset."""

    __tablename__ = "files"

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
    """Whether the dataset was stored for this file. If one of a dataset's files owns it, the dataset is deleted with the
    last of them."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    """When the file is deleted; null if it does not expire."""


class FineTune(Base):
    """The files that an OpenAI client named when it created a job."""

    __tablename__ = "fine_tunes"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    training_file: Mapped[str] = mapped_column(String(80))
    """The file may have been deleted since."""
    validation_file: Mapped[str | None] = mapped_column(String(80))
