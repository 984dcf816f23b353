"""SQL for workers."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, false, func, or_, select, update
from sqlalchemy.orm import Session

from app.db.sql import insert_missing, written_out
from app.db.tables import Attempt, Worker, to_json
from contracts.attempt import AttemptStatus, Idle, WorkerInfo

LIVE_SECONDS = 60
"""A worker is live if it has sent a hello within this time. Workers send one about every 20 seconds."""

FORGET_SECONDS = 7 * 24 * 3600
"""A worker that has not reported for this long is deleted with its models. If it comes back, it registers again."""


def save_worker(session: Session, info: WorkerInfo, now: datetime) -> None:
    """Store a worker's description and when it was last seen. Locks the worker's row."""
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


def forget_silent(session: Session, now: datetime) -> list[str]:
    """Delete workers that have not reported for FORGET_SECONDS, with their models, and return their ids."""
    running = select(Attempt.id).where(
        Attempt.worker_id == Worker.id, written_out(Attempt.status, AttemptStatus.RUNNING)
    )
    forgotten = session.scalars(
        delete(Worker)
        .where(Worker.last_seen_at < now - timedelta(seconds=FORGET_SECONDS), ~running.exists())
        .returning(Worker.id)
        .execution_options(synchronize_session=False)
    )
    return sorted(forgotten)


def take_turn(session: Session, worker_id: str, idle: Idle) -> bool:
    """Store the turn of a worker's device lock, and lock the worker's row. Return False if a later turn is already stored."""
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
    """Return every worker with its current job's id and number of GPUs, or None."""
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
    """Return the number of live workers of a queue; 0 if all of their devices have failed."""
    passed = Worker.info["device_check"]["passed"].as_boolean()
    count = select(func.count(), func.count().filter(passed.is_not(false()))).select_from(Worker)
    live, able = session.execute(count.where(*_is_live(queue, now))).one()
    return live if able else 0


def list_idle(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the descriptions of a queue's live workers that run no attempt and have not lent their GPU."""
    busy = select(Attempt.id).where(
        Attempt.worker_id == Worker.id, written_out(Attempt.status, AttemptStatus.RUNNING)
    )
    rows = session.scalars(select(Worker.info).where(*_is_live(queue, now), ~busy.exists()))
    loans = find_loans(session)
    found = [WorkerInfo.model_validate(info) for info in rows]
    return [worker for worker in found if (worker.host_id, worker.device.uuid) not in loans]


def find_loans(session: Session) -> dict[tuple[str, str | None], str]:
    """Return the job that uses each GPU of a multi-GPU job, by host id and GPU UUID.

    GPUs that a worker did not report in its claim are omitted.
    """
    running = written_out(Attempt.status, AttemptStatus.RUNNING)
    columns = (Attempt.worker["host_id"].as_string(), Attempt.cards, Attempt.job_id)
    rows = session.execute(select(*columns).where(running, Attempt.gpus > 1))
    return {(host, card): job for host, cards, job in rows for card in cards or []}


def list_sharing_hosts(session: Session) -> set[str]:
    """Return the ids of hosts that run a multi-GPU job. Some of their idle workers may have lent their GPUs."""
    running = written_out(Attempt.status, AttemptStatus.RUNNING)
    rows = session.scalars(select(Attempt.worker).where(running, Attempt.gpus > 1))
    return {WorkerInfo.model_validate(info).host_id for info in rows}


def list_live(session: Session, queue: str, now: datetime) -> list[WorkerInfo]:
    """Return the descriptions of the live workers of a queue, including those whose devices have failed."""
    return list_live_by_queue(session, [queue], now)[queue]


def list_live_by_queue(
    session: Session, queues: Collection[str], now: datetime
) -> dict[str, list[WorkerInfo]]:
    """Return the descriptions of the live workers of these queues in one statement; see list_live."""
    live: dict[str, list[WorkerInfo]] = {queue: [] for queue in queues}
    rows = session.execute(
        select(Worker.queue, Worker.info).where(
            Worker.queue.in_(live), Worker.last_seen_at >= now - timedelta(seconds=LIVE_SECONDS)
        )
    )
    for queue, info in rows:
        live[queue].append(WorkerInfo.model_validate(info))
    return live


def _is_live(queue: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return Worker.queue == queue, Worker.last_seen_at >= now - timedelta(seconds=LIVE_SECONDS)
