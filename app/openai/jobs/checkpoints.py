"""Checkpoints of a fine-tuning job in OpenAI's format."""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.checkpoints.service import CheckpointView
from app.checkpoints.service import list_checkpoints as list_own
from app.db.ids import fine_tuning_id
from app.errors.kinds import BadCursor
from app.http.paging import ObjectList, list_objects
from app.jobs import service as jobs
from app.leases.store import list_attempts
from app.openai import ids, store
from app.openai.schemas.history import CheckpointMetrics, FineTuningCheckpoint
from contracts.job import load_stored_spec


def list_checkpoints(
    session: Session, ftjob_id: str, after: str | None, limit: int
) -> ObjectList[FineTuningCheckpoint]:
    """Return a page of the checkpoints that a job keeps, newest first. Raises JobNotFound, BadCursor."""
    job = jobs.get_row(session, ids.job_id(ftjob_id))
    spec = load_stored_spec(job.spec)
    name = ids.tuned_model(spec.model, spec.name, job.id)
    found = list_own(session, job.id)
    start = 0
    if after is not None:
        start = next((n for n, each in enumerate(found, 1) if ids.ftckpt_id(each.id) == after), 0)
        if start == 0:
            raise BadCursor("after")
    page = found[start : start + limit]
    attempts = {attempt.number: attempt.id for attempt in list_attempts(session, job.id)}
    data = [
        FineTuningCheckpoint(
            id=ids.ftckpt_id(each.id),
            created_at=int(each.created_at.timestamp()),
            fine_tuned_model_checkpoint=f"{name}:ckpt-step-{each.step}",
            fine_tuning_job_id=fine_tuning_id(job.id),
            step_number=each.step,
            metrics=_metrics(session, attempts[each.attempt], each),
            bytes=each.bytes,
            stored=each.stored,
            adapter_file=ids.checkpoint_file(each.id) if each.stored else None,
        )
        for each in page
    ]
    return list_objects(data, has_more=len(found) > start + limit)


def _metrics(session: Session, attempt_id: str, checkpoint: CheckpointView) -> CheckpointMetrics:
    step = checkpoint.step
    trained = store.find_values_at_checkpoint(session, attempt_id, step)
    evaluated = store.find_evaluations(session, attempt_id, [step]).get(step, {})
    loss = checkpoint.eval_loss  # an earlier attempt may have evaluated it
    accuracy = _finite(evaluated, "token_accuracy")
    return CheckpointMetrics(
        step=step,
        train_loss=_finite(trained, "loss"),
        train_mean_token_accuracy=_finite(trained, "token_accuracy"),
        valid_loss=loss,
        valid_mean_token_accuracy=accuracy,
        full_valid_loss=loss,
        full_valid_mean_token_accuracy=accuracy,
    )


def _finite(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
