"""SQL for workers."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, false, func, or_, select, update
from sqlalchemy.orm import Session

from app.db.sql import insert_missing, written_out
from app.db.tables import Attempt, Worker, to_json
from contracts.attempt import AttemptStatus, Idle, WorkerInfo

LIVE_SECONDS = 60
"""A worker is live if it sent a hello within this time. Workers send one about every 20 seconds."""


def save_worker(session: Session, info: WorkerInfo, now: datetime) -> None:
    """Store when a worker was last seen, and its description. Locks the worker's row."""
    seen = {"queue": info.queue, "info": to_json(info), "last_seen_at": now}
    found = session.execute(
        update(Worker)
        .where(Worker.id == info.worker_id)
        .values(**seen)
        .returning(Worker.id)
        .execution_options(synchronize_session=False)
    ).first()
    if found is None:
        insert_missing(session, Worker, [{"id": info.worker_id, "first_seen_at": now, **seen}])


def take_turn(session: Session, worker_id: str, idle: Idle) -> bool:
    """Store the turn that a worker announced for its lock, and lock the worker's row. Return False if a later turn is already stored."""
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


def list_workers(session: Session) -> Sequence[tuple[Worker, str | None, int | None]]:
    """Return every worker with the id of the job that it runs and the number of its GPUs, or None."""
    rows = session.execute(
        select(Worker, Attempt.job_id, Attempt.gpus)
        .outerjoin(
            Attempt,
            (Attempt.worker_id == Worker.id) & written_out(Attempt.status, AttemptStatus.RUNNING),
        )
        .order_by(Worker.id, Attempt.started_at)
    )
    return list({worker.id: (worker, job_id, gpus) for worker, job_id, gpus in rows}.values())


def count_live(session: Session, queue: str, now: datetime) -> int:
    """Return how many workers of a queue are live; 0 if the devices of all of them have failed."""
    passed = Worker.info["device_check"]["passed"].as_boolean()
    count = select(func.count(), func.count().filter(passed.is_not(false()))).select_from(Worker)
    live, able = session.execute(count.where(*_is_live(queue, now))).one()
    return live if able else 0


def list_idle(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the descriptions of the live, idle workers of a queue."""
    busy = select(Attempt.id).where(
        Attempt.worker_id == Worker.id, written_out(Attempt.status, AttemptStatus.RUNNING)
    )
    rows = session.scalars(select(Worker.info).where(*_is_live(queue, now), ~busy.exists()))
    return [WorkerInfo.model_validate(info) for info in rows]


def list_sharing_hosts(session: Session) -> set[str]:
    """Return the ids of the hosts that run a job on several GPUs; some of their idle workers may have lent their GPUs to it."""
    running = written_out(Attempt.status, AttemptStatus.RUNNING)
    rows = session.scalars(select(Attempt.worker).where(running, Attempt.gpus > 1))
    return {WorkerInfo.model_validate(info).host_id for info in rows}


def list_live(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the descriptions of the live workers of a queue, including those whose devices have failed."""
    rows = session.scalars(select(Worker.info).where(*_is_live(queue, now)))
    return [WorkerInfo.model_validate(info) for info in rows]


def _is_live(queue: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return Worker.queue == queue, Worker.last_seen_at >= now - timedelta(seconds=LIVE_SECONDS)
