"""SQL that counts a job's losses (lost attempts and retryable failures). The job's row must be locked."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.db.tables import Job


def count_loss(session: Session, job: Job) -> int:
    """Record a loss, and return the number of consecutive losses without a new checkpoint."""
    losses = 1 if job.checkpoint_step > job.lost_checkpoint_step else job.losses + 1
    session.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(losses=losses, lost_checkpoint_step=Job.checkpoint_step)
    )
    return losses
