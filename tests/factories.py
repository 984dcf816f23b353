"""Builders with a default for every field, so a test sets only the fields that matter to it."""

from typing import Any

from contracts.base import utc_now
from contracts.job import JobSpec
from contracts.record import CheckpointRecord, MetricRecord
from contracts.summary import Summary


def make_spec(**changes: Any) -> JobSpec:
    """Return a complete spec; a change such as `training={"max_steps": 3}` sets only some fields of a section."""
    spec: dict[str, Any] = {"model": "tiny-qwen2", "dataset": {"train": "ds_00000000"}}
    return JobSpec.model_validate(spec | changes)


def make_metric(seq: int, step: int | None = None, **values: float) -> MetricRecord:
    """Return the metric record of one training step; `step` defaults to `seq`."""
    figures = {
        "loss": 2.0,
        "learning_rate": 2e-4,
        "grad_norm": 1.0,
        "epoch": 0.1,
        "tokens": 100.0,
        "seconds": 0.5,
    }
    return MetricRecord(
        seq=seq, at=utc_now(), step=seq if step is None else step, values=figures | values
    )


def make_checkpoint(seq: int, step: int) -> CheckpointRecord:
    """Return the record of a checkpoint."""
    return CheckpointRecord(seq=seq, at=utc_now(), step=step, name=f"step-{step}")


def make_summary(**changes: Any) -> Summary:
    """Return the summary of a small successful run."""
    figures: dict[str, Any] = {
        "model": "tiny-qwen2",
        "finished_at": utc_now(),
        "duration_seconds": 61.0,
        "steps": 10,
        "train_loss": 1.7,
        "eval_loss": 1.6,
        "base_eval_loss": 2.4,
        "windows": [{"step": 5, "loss": 1.9}, {"step": 10, "loss": 1.5}],
        "lora_rank": 8,
        "lora_alpha": 16.0,
        "per_device_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-4,
        "lr_scheduler": "cosine",
        "train_rows": 160,
        "eval_rows": 16,
        "trainable_parameters": 1000,
        "all_parameters": 20000,
    }
    return Summary.model_validate(figures | changes)
