"""Rules for models: which ones exist, and which workers have them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from app.db.engine import database_now
from app.db.tables import Worker, WorkerModel
from app.errors.kinds import ModelNotFound, WorkerNotFound
from app.http.paging import decode_text, encode_text
from app.models import store
from app.models.schemas import ModelPage, ModelView, ModelWorker, details_of
from app.workers.store import LIVE_SECONDS
from contracts.attempt import WorkerInfo
from contracts.model_facts import MOST_CHARACTERS, ModelFacts, ModelReport, is_model_name

MOST_OFFLINE = 50
"""Maximum number of offline workers that a plan considers."""
log = structlog.get_logger(__name__)


class Copy(NamedTuple):
    """A model on one worker."""

    name: str
    worker: Worker
    is_live: bool
    reported: WorkerModel | None
    """None if the worker has reported only the name, as earlier versions do."""

    @property
    def facts(self) -> ModelFacts | None:
        """Facts that the worker has read from the model's files."""
        return None if self.reported is None else ModelFacts.model_validate(self.reported.facts)

    @property
    def first_seen_at(self) -> datetime:
        """When this copy was first reported."""
        return (self.reported or self.worker).first_seen_at


def receive_report(session: Session, report: ModelReport) -> None:
    """Store a worker's models. Raises WorkerNotFound if the worker has not sent a hello."""
    now = database_now(session)
    span = store.Span(
        report.after.replace("\0", ""),
        report.models[-1].name.replace("\0", "") if report.has_more and report.models else None,
    )
    models = [
        facts for facts in report.models if is_model_name(facts.name) and span.covers(facts.name)
    ]
    if len(models) < len(report.models):
        number = len(report.models) - len(models)
        log.warning(
            "skipped models whose names no job can use or that are outside the report's range",
            worker=report.worker_id,
            number=number,
        )
    if not store.replace_models(session, report.worker_id.replace("\0", ""), models, span, now):
        raise WorkerNotFound(worker=report.worker_id)


def list_models(session: Session, queue: str | None, cursor: str | None, limit: int) -> ModelPage:
    """Return a page of the models on the workers, or on the workers of a queue, by id. Raises BadCursor."""
    after = decode_text(cursor) if cursor else ""
    now = database_now(session)
    workers = store.list_workers(session, queue)
    downloading = [worker.id for worker in workers if _has_hub(worker)]
    names = set(store.list_names_after(session, downloading, after, limit + 1))
    names.update(name for worker in workers for name in _named(worker) or () if name > after)
    found = sorted(names)[: limit + 1]
    page = found[:limit]
    by_name: dict[str, list[Copy]] = {name: [] for name in page}
    for copy in _copies(workers, store.list_reported(session, page), now):
        if copy.name in by_name:
            by_name[copy.name].append(copy)
    live = [worker for worker in workers if _is_live(worker, now)]
    return ModelPage(
        data=[_view(name, copies) for name, copies in by_name.items() if copies],
        has_more=len(found) > limit,
        cursor=encode_text(page[-1]) if page else cursor,
        accepts_other_ids=not live or any(_has_hub(worker) for worker in live),
    )


def get_model(session: Session, name: str) -> ModelView:
    """Return a model that a worker has. Raises ModelNotFound."""
    reported = store.list_reported(session, [name[:MOST_CHARACTERS].replace("\0", "")])
    workers = store.list_workers(session)
    copies = [
        copy for copy in _copies(workers, reported, database_now(session)) if copy.name == name
    ]
    if not copies:
        raise ModelNotFound(model=name[:MOST_CHARACTERS])
    return _view(name, copies)


class Installation(NamedTuple):
    """A queue's live workers and what they report about one model."""

    workers: Sequence[Worker]
    live: list[WorkerInfo]
    """The same workers' descriptions, including those of workers whose devices have failed."""
    copies: list[ModelFacts | None]
    """The facts about each copy of the model on these workers; None if its worker has not read it or runs an earlier version."""
    downloads: bool
    """Whether one of these workers may download the model for a job, including a newer commit than the one in its hub cache."""
    facts: ModelFacts | None
    """The facts that a worker of any queue has reported, preferably with the model's dimensions; None if no worker has
    reported any."""


def find_installation(session: Session, queue: str, name: str, now: datetime) -> Installation:
    """Return a queue's live workers and what they report about a model. Reads each table once."""
    live = store.list_workers(session, queue, _live_since(now))
    reported = store.list_reported(session, [name])
    copies = [copy for copy in _copies(live, reported, now) if copy.name == name]
    local = {copy.worker.id for copy in copies if copy.facts is None or copy.facts.revision is None}
    return Installation(
        live,
        [WorkerInfo.model_validate(worker.info) for worker in live],
        [copy.facts for copy in copies],
        any(_has_hub(worker) and worker.id not in local for worker in live),
        _choose_facts(reported),
    )


def find_offline(session: Session, queue: str, name: str, now: datetime) -> list[WorkerInfo]:
    """Return the descriptions of a queue's known offline workers that have a model or can download it, the latest seen first.

    Considers at most MOST_OFFLINE workers.
    """
    found = store.list_offline(session, queue, _live_since(now), MOST_OFFLINE)
    known = [WorkerInfo.model_validate(worker.info) for worker in found]
    return [worker for worker in known if worker.models is None or name in worker.models]


def find_facts(session: Session, name: str) -> ModelFacts | None:
    """Return the facts that a worker has reported about a model, preferably with its dimensions; None if none has."""
    return _choose_facts(store.list_reported(session, [name]))


def _choose_facts(reported: Iterable[WorkerModel]) -> ModelFacts | None:
    found = [ModelFacts.model_validate(row.facts) for row in reported]
    return next((facts for facts in found if facts.sizes is not None), found[0] if found else None)


def list_names(session: Session, installation: Installation) -> set[str]:
    """Return the names of all models on the workers of an installation."""
    workers = installation.workers
    named = {name for worker in workers for name in _named(worker) or ()}
    return named | store.list_reported_names(session, [worker.id for worker in workers])


def list_tokenizers(session: Session, name: str) -> set[str]:
    """Return the tokenizers that workers have reported for a model. Workers running earlier versions report none."""
    found = [ModelFacts.model_validate(row.facts) for row in store.list_reported(session, [name])]
    return {facts.tokenizer for facts in found if facts.tokenizer is not None}


class Installed(NamedTuple):
    """A live worker and the models on its disk."""

    worker: WorkerInfo
    models: list[str]


def list_installed(session: Session) -> list[Installed]:
    """Return the live workers of all queues, each with the models on its disk."""
    live = store.list_workers(session, seen_since=_live_since(database_now(session)))
    reported = store.list_names_by_worker(session, [worker.id for worker in live])
    found = []
    for worker in live:
        info = WorkerInfo.model_validate(worker.info)
        named = _named(worker)
        found.append(
            Installed(info, sorted(reported.get(worker.id, ()) if named is None else named))
        )
    return found


def _copies(
    workers: Iterable[Worker], reported: Iterable[WorkerModel], now: datetime
) -> Iterable[Copy]:
    by_worker: dict[str, dict[str, WorkerModel]] = {}
    for row in reported:
        by_worker.setdefault(row.worker_id, {})[row.name] = row
    for worker in workers:
        rows = by_worker.get(worker.id, {})
        # A hello also names the models, unless the worker can download others, and may be newer than the report.
        named = _named(worker)
        for name in rows if named is None else named:
            yield Copy(name, worker, _is_live(worker, now), rows.get(name))


def _view(name: str, copies: list[Copy]) -> ModelView:
    best = max(copies, key=_precedence)
    return ModelView(
        id=name,
        created=int(min(copy.first_seen_at for copy in copies).timestamp()),
        owned_by=name.partition("/")[0] if "/" in name else "local",
        available=any(copy.is_live for copy in copies),
        workers=[
            ModelWorker(id=copy.worker.id, queue=copy.worker.queue, live=copy.is_live)
            for copy in copies
        ],
        **details_of(best.facts),
    )


def _precedence(copy: Copy) -> tuple[bool, bool, float]:
    """Sort key for differing copies: prefer those of live workers, then those with facts, then the latest report."""
    reported = copy.reported
    return copy.is_live, reported is not None, reported.reported_at.timestamp() if reported else 0


def _is_live(worker: Worker, now: datetime) -> bool:
    return worker.last_seen_at >= _live_since(now)


def _live_since(now: datetime) -> datetime:
    return now - timedelta(seconds=LIVE_SECONDS)


def _has_hub(worker: Worker) -> bool:
    return worker.info.get("models") is None


def _named(worker: Worker) -> list[str] | None:
    """Return the models named in a worker's last hello; None if it can download others."""
    named = WorkerInfo.model_validate(worker.info).models
    return None if named is None else [name for name in named if is_model_name(name)]
