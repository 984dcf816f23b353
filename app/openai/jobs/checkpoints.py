"""Checkpoints of a fine-tuning job in OpenAI's format."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from app.artifacts import store as artifacts
from app.checkpoints.service import CheckpointView
from app.checkpoints.service import list_checkpoints as list_own
from app.db.ids import fine_tuning_id
from app.db.tables import Job
from app.errors.kinds import BadCursor
from app.http.paging import ObjectList, list_objects
from app.jobs import service as jobs
from app.leases.store import list_attempts
from app.openai import ids, store
from app.openai.schemas.history import CheckpointMetrics, FineTuningCheckpoint
from contracts.job import JobStatus, load_stored_spec
from contracts.protocol.wire import ADAPTER_ARTIFACT
from contracts.summary import Summary


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
    final = _find_final(session, job)
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
            adapter_file=_adapter_file(each, job.id, final),
        )
        for each in page
    ]
    return list_objects(data, has_more=len(found) > start + limit)


class _Final(NamedTuple):
    """The attempt and the step whose weights a job's adapter contains."""

    attempt: int
    step: int


def _find_final(session: Session, job: Job) -> _Final | None:
    """Return where the training ended, if the job has succeeded with the weights of its last step; None if it restored better ones."""
    if job.status is not JobStatus.SUCCEEDED or job.summary is None:
        return None
    summary = Summary.model_validate(job.summary)
    if summary.adapter_step != summary.steps or not artifacts.has_named(
        session, job.id, ADAPTER_ARTIFACT
    ):
        return None
    return _Final(job.attempt_number, summary.steps)


def _adapter_file(checkpoint: CheckpointView, job_id: str, final: _Final | None) -> str | None:
    if checkpoint.stored:
        return ids.checkpoint_file(checkpoint.id)
    if final == (checkpoint.attempt, checkpoint.step):
        return ids.adapter_file(job_id)
    return None


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
