"""SQL for models reported by workers."""

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.orm import Session

from app.db.sql import WrittenJson, insert_many
from app.db.tables import Base, Worker, WorkerModel
from contracts.model_facts import ModelFacts

_TABLE = Base.metadata.tables[WorkerModel.__tablename__]
# These statements are built only once, because each submission runs them.
_REPORTED = (
    select(WorkerModel)
    .where(WorkerModel.name.in_(bindparam("names", expanding=True)))
    .order_by(WorkerModel.worker_id, WorkerModel.name)
)


@dataclass(frozen=True)
class Span:
    """A range of names."""

    after: str
    last: str | None
    """None for no limit."""

    def covers(self, name: str) -> bool:
        """Return whether the name is in the range."""
        return name > self.after and (self.last is None or name <= self.last)


@functools.cache
def _workers(*given: str) -> Select[Worker]:
    """Select the workers that match the values given."""
    query = select(Worker).order_by(Worker.id)
    if "queue" in given:
        query = query.where(Worker.queue == bindparam("queue"))
    if "seen_since" in given:
        query = query.where(Worker.last_seen_at >= bindparam("seen_since"))
    return query


def replace_models(
    session: Session, worker_id: str, models: Sequence[ModelFacts], span: Span, now: datetime
) -> bool:
    """Replace a worker's stored models in a range of names. Return False if the worker is unknown."""
    locked = select(Worker.id).where(Worker.id == worker_id).with_for_update()
    if session.scalar(locked) is None:
        return False
    own = [WorkerModel.worker_id == worker_id, WorkerModel.name > span.after]
    if span.last is not None:
        own.append(WorkerModel.name <= span.last)
    earlier = session.execute(select(WorkerModel.name, WorkerModel.first_seen_at).where(*own))
    first_seen_at = dict(earlier.all())
    session.execute(delete(WorkerModel).where(*own).execution_options(synchronize_session=False))
    rows = {
        facts.name: {
            "worker_id": worker_id,
            "name": facts.name,
            "facts": WrittenJson(facts.model_dump_json()),
            "first_seen_at": first_seen_at.get(facts.name, now),
            "reported_at": now,
        }
        for facts in models
    }
    if rows:
        insert_many(session, _TABLE, list(rows.values()))
    return True


def list_workers(
    session: Session, queue: str | None = None, seen_since: datetime | None = None
) -> Sequence[Worker]:
    """Return the workers of a queue, or of all queues, that were last seen at or after a time."""
    values = {"queue": queue, "seen_since": seen_since}
    given = {name: value for name, value in values.items() if value is not None}
    return session.scalars(_workers(*given), given).all()


def list_offline(
    session: Session, queue: str, seen_before: datetime, limit: int
) -> Sequence[Worker]:
    """Return the workers of a queue that were last seen before a time, the latest first."""
    query = select(Worker).where(Worker.queue == queue, Worker.last_seen_at < seen_before)
    return session.scalars(query.order_by(Worker.last_seen_at.desc()).limit(limit)).all()


def list_reported(session: Session, names: Collection[str]) -> Sequence[WorkerModel]:
    """Return all reported copies of these models."""
    return session.scalars(_REPORTED, {"names": list(names)}).all()


def list_names_after(
    session: Session, worker_ids: Collection[str], after: str, limit: int
) -> Sequence[str]:
    """Return the first names after `after` among the models reported by these workers."""
    if not worker_ids:
        return []
    names = select(WorkerModel.name).where(
        WorkerModel.worker_id.in_(worker_ids), WorkerModel.name > after
    )
    return session.scalars(names.distinct().order_by(WorkerModel.name).limit(limit)).all()


def list_reported_names(session: Session, worker_ids: Sequence[str]) -> set[str]:
    """Return the names of the models reported by these workers."""
    if not worker_ids:
        return set()
    query = select(WorkerModel.name).where(WorkerModel.worker_id.in_(worker_ids)).distinct()
    return set(session.scalars(query))


def list_names_by_worker(session: Session, worker_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the models that each of these workers has reported."""
    query = select(WorkerModel.worker_id, WorkerModel.name)
    found: dict[str, list[str]] = {}
    for worker_id, name in session.execute(query.where(WorkerModel.worker_id.in_(worker_ids))):
        found.setdefault(worker_id, []).append(name)
    return found
