"""The columns of a job that an UPDATE may write, so that mypy rejects a misspelt name or a wrong type."""

from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import SQLColumnExpression

from contracts.job import JobStatus, Phase


class RowCounts(TypedDict, total=False):
    """Row counts of a job's phase. The names are those of `app.db.tables.Job`."""

    rows_done: int | None
    rows_total: int | None
    rows_seconds: float | None
    rows_seconds_left: float | None


class JobColumns(RowCounts, total=False):
    """Columns of a job that users and transitions change; JobProgress has those that a worker's report changes."""

    status: JobStatus
    edited: dict[str, Any] | None
    notes: str | None
    archived: bool
    priority: int
    reserved_host: str | None
    reserved_until: datetime | None
    reserved_seconds: int
    larger_until: datetime | None
    train_dataset_id: str | None
    eval_dataset_id: str | None
    started_at: datetime | SQLColumnExpression[datetime | None] | None
    ended_at: datetime | None
    not_before: datetime | None
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None
    attempt_number: int | SQLColumnExpression[int]
    current_attempt_id: str | None
    losses: int
    lost_checkpoint_step: int | SQLColumnExpression[int]
    phase: Phase | None
    seconds_per_step: float | None
    eval_loss: float | None
    health: list[dict[str, Any]] | None
    failure: dict[str, Any] | None
    summary: dict[str, Any] | None
