"""Tables for plans: forecasts of jobs, and measured results that improve later forecasts."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables import Base, BigId


class StoredPlan(Base):
    """A job's forecast and, once it has succeeded, its actual figures."""

    __tablename__ = "job_plans"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    forecast: Mapped[dict[str, Any]]
    """A Forecast and, as `kept`, a KeptPlan (app/plans/schemas.py); earlier versions stored no KeptPlan."""
    sample: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Estimated lengths of some rows (RowSample); null for a dataset on the hub, and once the job has succeeded."""
    actual: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """An Actual; null until the job has succeeded."""


class ForecastResult(Base):
    """The measurements of a finished job. They are kept after the job has been deleted."""

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
    """The uploaded dataset, which may have been deleted, or the key of several datasets (rows_key)."""
    figures: Mapped[dict[str, Any]]
    """A Measured (app/plans/corrections.py)."""
    created_at: Mapped[datetime]
