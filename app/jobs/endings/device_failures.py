"""SQL for device failures, including those that suggest that the job, rather than the device, is the cause."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db.tables import Base, DeviceFailure, Job, Worker
from contracts.attempt import WorkerInfo
from contracts.job import JobStatus

_FAILURES = Base.metadata.tables[DeviceFailure.__tablename__]


def insert_failure(session: Session, failure: DeviceFailure) -> None:
    """Record that a device failed during an attempt."""
    session.add(failure)
    session.flush()


def list_unchecked(session: Session, worker_id: str) -> Sequence[DeviceFailure]:
    """Return the failures of a worker's device since it last passed a check, oldest first."""
    return session.scalars(
        select(DeviceFailure)
        .where(DeviceFailure.worker_id == worker_id, DeviceFailure.passed_at.is_(None))
        .order_by(DeviceFailure.failed_at)
    ).all()


def list_against_job(session: Session, job_id: str) -> Sequence[DeviceFailure]:
    """Return a job's failures since its last retry by a user, oldest first. The devices have since passed a check."""
    return session.scalars(
        select(DeviceFailure)
        .where(
            DeviceFailure.job_id == job_id,
            DeviceFailure.passed_at.is_not(None),
            DeviceFailure.blames_job,
        )
        .order_by(DeviceFailure.number)
    ).all()


def list_against_host(
    session: Session, worker: WorkerInfo
) -> list[tuple[DeviceFailure, WorkerInfo]]:
    """Return the failures of the devices on a worker's host since each device's last success, with their workers."""
    is_on_host = Worker.id == worker.worker_id
    if worker.host_id:
        is_on_host |= Worker.info["host_id"].as_string() == worker.host_id
    rows = session.execute(
        select(DeviceFailure, Worker.info)
        .join(Worker, Worker.id == DeviceFailure.worker_id)
        .where(DeviceFailure.blames_device, is_on_host)
        .order_by(DeviceFailure.failed_at)
    )
    return [(failure, WorkerInfo.model_validate(info)) for failure, info in rows]


def excuse_job(session: Session, job_id: str) -> None:
    """Stop counting earlier failures against the job."""
    session.execute(update(_FAILURES).where(_FAILURES.c.job_id == job_id).values(blames_job=False))


def excuse_devices(session: Session, worker_id: str, cards: Sequence[str]) -> None:
    """Stop counting earlier failures against the worker's device and the given cards."""
    is_used = (_FAILURES.c.worker_id == worker_id) | _FAILURES.c.device.in_(cards)
    session.execute(
        update(_FAILURES).where(is_used, _FAILURES.c.blames_device).values(blames_device=False)
    )


def mark_passed(session: Session, failure: DeviceFailure, now: datetime) -> None:
    """Record that the device has passed a check after this failure."""
    failure.passed_at = now
    session.flush()


def increment_version(session: Session, job_id: str) -> None:
    """Increment the job's version to notify readers of a new event."""
    session.execute(update(Job).where(Job.id == job_id).values(version=Job.version + 1))


def mark_claimable(session: Session, failure: DeviceFailure) -> bool:
    """Make the job claimable immediately. Return False if it is not waiting or has been claimed since the failure."""
    changed = session.execute(
        update(Job)
        .where(
            Job.id == failure.job_id,
            Job.status == JobStatus.QUEUED,
            Job.attempt_number == failure.number,
            Job.not_before.is_not(None),
        )
        .values(not_before=None, version=Job.version + 1)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).first()
    return changed is not None


def find_job(session: Session, job_id: str) -> Job | None:
    """Return the job, or None."""
    return session.scalar(select(Job).where(Job.id == job_id))
