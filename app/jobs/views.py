"""Converts a stored job to its public representation."""

from datetime import datetime

from app.db.tables import Job
from app.jobs.eta import eta_seconds
from app.jobs.queue import order as queue
from app.jobs.schemas import HealthView, JobError, JobView, JobWait, Progress, RowsDone
from contracts.failure import Failure, Language
from contracts.job import JobSpec, JobStatus, load_stored_spec
from contracts.values.text import escape_lines
from contracts.verdicts.finding import HealthCode


def view(
    *,
    job: Job,
    lease_expires_at: datetime | None,
    run_seconds: float | None,
    place: int | None,
    waiting: JobWait | None,
    now: datetime,
    language: Language,
) -> JobView:
    """Return a job as users see it. `now` is the database's time, and `place` the job's place in its queue."""
    is_far = place is not None and place > queue.MOST_PLACES
    spec = load_stored_spec(job.spec)
    name, labels = name_and_labels(job, spec)
    return JobView(
        id=job.id,
        name=name,
        status=job.status,
        version=job.version,
        phase=job.phase,
        progress=Progress(
            step=job.step,
            total_steps=job.total_steps,
            epoch=job.epoch,
            percent=round(100 * job.step / job.total_steps, 2) if job.total_steps else None,
            rows=_rows_done(job),
        ),
        eta_seconds=eta_seconds(job, spec),
        queue_position=None if is_far else place,
        queue_position_above=queue.MOST_PLACES if is_far else None,
        waiting=waiting,
        last_loss=job.last_loss,
        eval_loss=job.eval_loss,
        health=current_health(job),
        attempt=job.attempt_number,
        unreachable=lease_expires_at is not None and lease_expires_at < now,
        cancel_requested_at=job.cancel_requested_at,
        pause_requested_at=job.pause_requested_at,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        run_seconds=None if run_seconds is None else round(max(0.0, run_seconds), 3),
        labels=labels,
        notes=job.notes,
        archived=job.archived,
        priority=job.priority,
        error=_error(job, language),
        spec=spec,
    )


def name_and_labels(job: Job, spec: JobSpec) -> tuple[str | None, dict[str, str]]:
    """Return a job's name and labels: those of its spec unless a user has edited them."""
    if job.edited is None:
        return spec.name, spec.labels
    return job.edited["name"], job.edited["labels"]


def current_health(job: Job) -> list[HealthView]:
    """Return the findings that currently apply. Findings about pace and host apply only while the attempt runs."""
    is_running = job.status is JobStatus.RUNNING
    return [
        HealthView.model_validate(finding | {"acknowledged": bool(finding["acknowledged_at"])})
        for finding in job.health or ()
        # Later versions may have more codes.
        if finding["code"] in list(HealthCode)
        and (is_running or HealthCode(finding["code"]).concerns_learning)
    ]


def _rows_done(job: Job) -> RowsDone | None:
    if job.rows_done is None or job.rows_total is None:
        return None
    return RowsDone(done=job.rows_done, total=job.rows_total, seconds_left=job.rows_seconds_left)


def _error(job: Job, language: Language) -> JobError | None:
    if job.failure is None:
        return None
    failure = Failure.model_validate(job.failure)
    return JobError(
        code=failure.reason.value,
        message=failure.reason.message(language),
        hint=failure.reason.hint(language),
        detail=escape_lines(failure.detail),
        step=failure.step,
    )
