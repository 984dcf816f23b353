"""SQL of the two counts that decide whether a job is retried: losses, and failures of devices. The job's row is locked."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.db.tables import Job


def count_loss(session: Session, job: Job) -> int:
    """Record the loss of the job's worker; return the number of consecutive losses without a new checkpoint."""
    losses = 1 if job.checkpoint_step > job.lost_checkpoint_step else job.losses + 1
    session.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(losses=losses, lost_checkpoint_step=Job.checkpoint_step)
    )
    return losses


def count_device_failure(session: Session, job: Job) -> int:
    """Record that a device failed during the job and works again; return how many times that has happened."""
    failures = job.device_failures + 1
    session.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(device_failures=failures, version=Job.version + 1)  # its event is visible
    )
    return failures
