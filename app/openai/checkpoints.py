"""Checkpoints of a fine-tuning job in OpenAI's format."""

from sqlalchemy.orm import Session

from app.checkpoints.service import list_checkpoints as list_own
from app.errors.kinds import BadCursor
from app.http.paging import ObjectList, list_objects
from app.jobs import service as jobs
from app.openai import ids
from app.openai.schemas.history import CheckpointMetrics, FineTuningCheckpoint
from contracts.job import load_stored_spec

PREFIX = "ftckpt_"


def list_checkpoints(
    session: Session, ftjob_id: str, after: str | None, limit: int
) -> ObjectList[FineTuningCheckpoint]:
    """Return a page of the checkpoints that a job keeps, newest first. Raises JobNotFound, BadCursor."""
    job = jobs.get_row(session, ids.job_id(ftjob_id))
    spec = load_stored_spec(job.spec)
    name = ids.tuned_model(spec.model, spec.name, job.id)
    found = [
        FineTuningCheckpoint(
            id=PREFIX + each.id.partition("_")[2],
            created_at=int(each.created_at.timestamp()),
            fine_tuned_model_checkpoint=f"{name}:ckpt-step-{each.step}",
            fine_tuning_job_id=ids.ftjob_id(job.id),
            step_number=each.step,
            metrics=CheckpointMetrics(
                step=each.step, valid_loss=each.eval_loss, full_valid_loss=each.eval_loss
            ),
            bytes=each.bytes,
            stored=each.stored,
        )
        for each in list_own(session, job.id)
    ]
    start = 0
    if after is not None:
        start = next((n for n, each in enumerate(found, 1) if each.id == after), 0)
        if start == 0:
            raise BadCursor("after")
    page = found[start : start + limit]
    return list_objects(page, has_more=len(found) > start + limit)
