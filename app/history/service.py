"""Reads a job's history: loss, metrics, events, logs, attempts."""

import csv
import io
from collections.abc import Iterator, Sequence

from sqlalchemy.orm import Session

from app.db.engine import database_now
from app.db.tables import Attempt, Event
from app.events import store as events
from app.events.words import event_words
from app.history import logs, loss, metrics
from app.history.chart import draw_chart
from app.history.loss import LossQuery
from app.history.metrics import MetricsQuery
from app.history.schemas import (
    AttemptError,
    AttemptView,
    EventView,
    LogLine,
    LossPage,
    MetricsView,
    WindowPage,
)
from app.http.headers.etags import holds
from app.http.paging import Page, decode_cursor, encode_cursor
from app.jobs import service as jobs
from app.leases import store as leases
from app.series.line import Bounds, on_line
from app.series.reader import Reader
from app.series.store import list_last_samples
from contracts.attempt import AttemptStatus, Outcome, WorkerInfo
from contracts.failure import Language
from contracts.values.text import escape_lines

CSV_COLUMNS = ("step", "loss", "learning_rate", "grad_norm", "epoch", "attempt", "at")


def get_loss(
    session: Session, job_id: str, query: LossQuery, held: str | None
) -> tuple[str, LossPage | WindowPage | None]:
    """Return (etag, page). The page is None if `held`, the request's If-None-Match header, contains the etag."""
    status = jobs.get_status(session, job_id)
    attempts = leases.list_attempts(session, job_id)
    tag = metrics.etag(status, attempts, query)
    if holds(held, tag):
        return tag, None
    if query.window is None:
        return tag, loss.read_loss(session, status, attempts, query)
    job = jobs.get_row(session, job_id)
    return tag, loss.read_windows(session, job, attempts, query.window)


def draw_loss(session: Session, job_id: str) -> str:
    """Return the loss as a chart for a terminal."""
    status = jobs.get_status(session, job_id)
    names = ("loss", "eval_loss")
    reader = Reader(session, on_line(leases.list_attempts(session, job_id)), names)
    train, evaluations = (
        [(step, value) for _, (_, step, _, value) in reader.read(name, Bounds(), 1000).points]
        for name in names
    )
    return draw_chart(job_id, status.value, train, evaluations)


def get_metrics(
    session: Session, job_id: str, query: MetricsQuery, held: str | None
) -> tuple[str, MetricsView | None]:
    """Return (etag, view). The view is None if `held`, the request's If-None-Match header, contains the etag."""
    status = jobs.get_status(session, job_id)
    attempts = leases.list_attempts(session, job_id)
    samples = sum(list_last_samples(session, [each.id for each in attempts]).values())
    tag = metrics.etag(status, attempts, samples, query)
    if holds(held, tag):
        return tag, None
    return tag, metrics.read_metrics(session, job_id, status, attempts, query)


def list_names(session: Session, job_id: str, names: Sequence[str] | None) -> list[str]:
    """Return the names of the series to export: the requested ones, or all of the job's series."""
    jobs.require_job(session, job_id)
    if names is not None:
        return list(names)
    return Reader(session, on_line(leases.list_attempts(session, job_id))).names()


def loss_csv(page: LossPage | WindowPage) -> str:
    """Return the page's points as CSV. Non-finite values are empty fields."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(page["data"])
    return text.getvalue()


def list_events(
    session: Session, job_id: str, cursor: str | None, limit: int, language: Language
) -> Page[EventView]:
    """Return a page of a job's events, oldest first."""
    jobs.require_job(session, job_id)
    after = decode_cursor(cursor, 1)[0] if cursor else 0
    rows = events.list_events(session, job_id, after, limit + 1)
    page = rows[:limit]
    return Page(
        data=[event_view(event, language) for event in page],
        has_more=len(rows) > limit,
        cursor=encode_cursor(page[-1].id) if page else encode_cursor(after),
    )


def event_view(event: Event, language: Language) -> EventView:
    """Return an event as users see it."""
    return EventView(
        id=f"evt_{event.id}",
        at=event.at,
        level=event.level,
        code=event.code,
        message=event_words(event.code, language, event.data),
        attempt=event.attempt,
        data=event.data,
    )


def list_logs(session: Session, job_id: str, cursor: str | None, limit: int) -> Page[LogLine]:
    """Return a page of a job's log lines, oldest first."""
    jobs.require_job(session, job_id)
    return logs.read_logs(session, job_id, cursor, limit)


def get_whole_log(session: Session, job_id: str) -> Iterator[str]:
    """Return every line of a job's logs."""
    jobs.require_job(session, job_id)
    return logs.read_whole(session, job_id)


def list_attempts(session: Session, job_id: str, language: Language) -> list[AttemptView]:
    """Return a job's attempts, oldest first."""
    jobs.require_job(session, job_id)
    now = database_now(session)
    views = []
    for attempt in leases.list_attempts(session, job_id):
        worker = WorkerInfo.model_validate(attempt.worker)
        is_running = attempt.status is AttemptStatus.RUNNING
        views.append(
            AttemptView(
                id=attempt.id,
                number=attempt.number,
                status=attempt.status,
                unreachable=is_running and attempt.lease_expires_at < now,
                worker=attempt.worker_id,
                device=worker.device.name or worker.device.kind,
                gpus=attempt.gpus,
                started_at=attempt.started_at,
                synced_at=attempt.synced_at,
                ended_at=attempt.ended_at,
                first_step=attempt.first_step,
                last_step=attempt.last_step,
                resumed_from=attempt.resumed_from,
                resumed_step=attempt.resumed_step,
                error=_error(attempt, language),
            )
        )
    return views


def _error(attempt: Attempt, language: Language) -> AttemptError | None:
    outcome = Outcome.model_validate(attempt.outcome) if attempt.outcome else None
    if outcome is None or outcome.failure is None:
        return None
    reason = outcome.failure.reason
    return AttemptError(
        code=reason.value,
        message=reason.message(language),
        hint=reason.hint(language),
        detail=escape_lines(outcome.failure.detail),
        step=outcome.failure.step,
        evidence=outcome.failure.evidence,
    )
