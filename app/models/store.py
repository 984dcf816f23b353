"""SQL for the models that workers have reported."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.db.sql import insert_missing
from app.db.tables import Worker, WorkerModel, to_json
from contracts.model_facts import ModelFacts


def replace_models(
    session: Session, worker_id: str, models: Sequence[ModelFacts], now: datetime
) -> bool:
    """Store the models of a worker in place of its earlier ones. Return False if the worker is unknown."""
    locked = select(Worker.id).where(Worker.id == worker_id).with_for_update()
    if session.scalar(locked) is None:
        return False
    own = WorkerModel.worker_id == worker_id
    names = [facts.name for facts in models]
    session.execute(delete(WorkerModel).where(own, WorkerModel.name.not_in(names)))
    for facts in models:
        content = {"facts": to_json(facts), "reported_at": now}
        row = {"worker_id": worker_id, "name": facts.name, "first_seen_at": now, **content}
        if not insert_missing(session, WorkerModel, [row]):
            session.execute(
                update(WorkerModel)
                .where(own, WorkerModel.name == facts.name)
                .values(**content)
                .execution_options(synchronize_session=False)
            )
    return True


def list_workers(
    session: Session, queue: str | None = None, seen_since: datetime | None = None
) -> Sequence[Worker]:
    """Return the workers of a queue, or of all queues, that were last seen at or after a time."""
    query = select(Worker).order_by(Worker.id)
    if queue is not None:
        query = query.where(Worker.queue == queue)
    if seen_since is not None:
        query = query.where(Worker.last_seen_at >= seen_since)
    return session.scalars(query).all()


def list_reported(session: Session, name: str | None = None) -> Sequence[WorkerModel]:
    """Return every reported model, or every worker's copy of one model."""
    query = select(WorkerModel).order_by(WorkerModel.worker_id, WorkerModel.name)
    return session.scalars(query if name is None else query.where(WorkerModel.name == name)).all()


def list_reported_names(session: Session, worker_ids: Sequence[str]) -> set[str]:
    """Return the names of the models that any of the workers has reported."""
    query = select(WorkerModel.name).where(WorkerModel.worker_id.in_(worker_ids)).distinct()
    return set(session.scalars(query))
