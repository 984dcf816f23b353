"""Tables of plans: forecasts of jobs, and the results from which later forecasts learn."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables import Base, BigId


class StoredPlan(Base):
    """The forecast of a job and what it took."""

    __tablename__ = "job_plans"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    forecast: Mapped[dict[str, Any]]
    """A Forecast (app/plans/schemas.py)."""
    sample: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Estimated lengths of some rows (RowSample); null for a dataset on the hub, and once the job has succeeded."""
    actual: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """An Actual; null until the job has succeeded."""


class ForecastResult(Base):
    """What a finished job measured. It outlives the job."""

    __tablename__ = "forecast_results"
    __table_args__ = (
        Index("ix_forecast_results_model_device_number", "model", "device", "number"),
        Index("ix_forecast_results_dataset_id_model_number", "dataset_id", "model", "number"),
    )

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    device: Mapped[str] = mapped_column(String(300))
    """Kind and name of the device, and the number of GPUs (device_key)."""
    settings: Mapped[str] = mapped_column(String(64))
    """Hash of the settings that affect time and memory (settings_key)."""
    dataset_id: Mapped[str | None] = mapped_column(String(80))
    """The uploaded dataset, which may have been deleted, or the key of several (rows_key)."""
    figures: Mapped[dict[str, Any]]
    """A Measured (app/plans/corrections.py)."""
    created_at: Mapped[datetime]
