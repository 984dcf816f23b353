"""SQL for workers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, false, func, or_, select, update
from sqlalchemy.orm import Session

from app.db.sql import insert_missing, written_out
from app.db.tables import Attempt, Worker, to_json
from contracts.attempt import AttemptStatus, Idle, WorkerInfo

LIVE_SECONDS = 60
"""A worker is live if it sent a hello within this time. Workers send one about every 20 seconds."""


class Suspect(NamedTuple):
    """The attempt during which a worker's device failed; its device has not passed a check since."""

    attempt_id: str | None
    check_count: int
    """Number of checks that the device had passed when the attempt started."""


NO_SUSPECT = Suspect(None, 0)


def save_worker(session: Session, info: WorkerInfo, now: datetime) -> Suspect:
    """Store when a worker was last seen, and its description; return its suspect. Locks the worker's row."""
    seen = {"queue": info.queue, "info": to_json(info), "last_seen_at": now}
    found = session.execute(
        update(Worker)
        .where(Worker.id == info.worker_id)
        .values(**seen)
        .returning(Worker.suspect_attempt_id, Worker.suspect_check_count)
        .execution_options(synchronize_session=False)
    ).first()
    if found is None:
        insert_missing(session, Worker, [{"id": info.worker_id, "first_seen_at": now, **seen}])
        return NO_SUSPECT
    return Suspect._make(found)


def set_suspect(session: Session, worker_id: str, suspect: Suspect) -> None:
    """Store a worker's suspect. Locks the worker's row."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(suspect_attempt_id=suspect.attempt_id, suspect_check_count=suspect.check_count)
        .execution_options(synchronize_session=False)
    )


def take_turn(session: Session, worker_id: str, idle: Idle) -> bool:
    """Store the turn of a worker's lock, and lock the worker's row. Return False if a later turn is already stored."""
    taken = session.execute(
        update(Worker)
        .where(
            Worker.id == worker_id,
            or_(
                Worker.slot_id.is_(None),
                Worker.slot_id != idle.slot,
                Worker.slot_turn <= idle.turn,
            ),
        )
        .values(slot_id=idle.slot, slot_turn=idle.turn)
        .returning(Worker.id)
        .execution_options(synchronize_session=False)
    ).first()
    return taken is not None


def list_workers(session: Session) -> Sequence[tuple[Worker, str | None]]:
    """Return every worker with the id of the job that it runs, or None."""
    rows = session.execute(
        select(Worker, Attempt.job_id)
        .outerjoin(
            Attempt,
            (Attempt.worker_id == Worker.id) & written_out(Attempt.status, AttemptStatus.RUNNING),
        )
        .order_by(Worker.id, Attempt.started_at)
    )
    return list({worker.id: (worker, job_id) for worker, job_id in rows}.values())


def count_able(session: Session, queue: str, now: datetime) -> int:
    """Return how many live workers of a queue can run jobs, because their devices have not failed."""
    passed = Worker.info["device_check"]["passed"].as_boolean()
    able = select(func.count()).select_from(Worker)
    return session.scalar(able.where(*_is_live(queue, now), passed.is_not(false()))) or 0


def list_live(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the descriptions of the live workers of a queue, including those whose devices have failed."""
    rows = session.scalars(select(Worker.info).where(*_is_live(queue, now)))
    return [WorkerInfo.model_validate(info) for info in rows]


def _is_live(queue: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return Worker.queue == queue, Worker.last_seen_at >= now - timedelta(seconds=LIVE_SECONDS)
