"""The history of a fine-tuning job in OpenAI's format. Times are seconds since 1970."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Level = Literal["info", "warn", "error"]


class FineTuningEvent(BaseModel):
    """An event."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    id: str
    created_at: int
    level: Level
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]
    """For a `metrics` event: `step`, `train_loss`, `train_mean_token_accuracy` and, if an evaluation followed the step,
    `valid_loss` and `valid_mean_token_accuracy`. For a message: our own `code` and its values."""


class CheckpointMetrics(BaseModel):
    """Metrics at the step of a checkpoint. Null ones were not measured at this step."""

    step: int
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None


class FineTuningCheckpoint(BaseModel):
    """A checkpoint."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    """The name of the fine-tuned model, followed by `:ckpt-step-` and the step."""
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics
    bytes: int
    """Our own field."""
    stored: bool
    """Our own field: whether the checkpoint is in the server's storage."""
