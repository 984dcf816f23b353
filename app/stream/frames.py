"""Stream frames. Each change to a job is encoded only once per language for all listeners."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from fastapi.sse import format_sse_event
from sqlalchemy.orm import Session

from app.db.tables import Event
from app.events.store import list_events
from app.history import service
from app.history.metrics import MetricsQuery, TimedValue, add_rows, to_columns
from app.jobs import service as jobs
from app.jobs.schemas import JobView
from app.leases.store import list_attempts
from app.series.line import Place
from app.series.news import Batch, newest_place, read_news
from app.stream.schemas import DroppedData, MetricsData, RewindData
from contracts.failure import Language

LIMIT = 1000
"""Maximum number of records and of events per read."""


@dataclass
class Frame:
    """An event in the stream. Its id, if any, is the listener's place after the event."""

    event: str
    data: Callable[[Language], Any]
    id: Place | None = None
    _encoded: dict[Language, bytes] = field(default_factory=dict)

    def encode(self, language: Language) -> bytes:
        """Return the frame as bytes, cached per language."""
        if language not in self._encoded:
            self._encoded[language] = format_sse_event(
                data_str=json.dumps(self.data(language), allow_nan=False, separators=(",", ":")),
                event=self.event,
                id=None if self.id is None else self.id.encode(),
            )
        return self._encoded[language]


@dataclass(frozen=True)
class Update:
    """The result of one database read: new frames, the place after them, and the job's current state."""

    frames: list[Frame]
    place: Place
    has_more: bool
    views: dict[Language, JobView]

    @property
    def job(self) -> JobView:
        """Return the job's current state."""
        return self.views["en"]


def read_update(session: Session, job_id: str, place: Place, until: Place | None = None) -> Update:
    """Return the frames after `place`, up to `until` if given, and the job's current state. Raises JobNotFound."""
    english = jobs.get_job(session, job_id, "en")
    has_text = english.error is not None or english.waiting is not None
    chinese = jobs.get_job(session, job_id, "zh") if has_text else english
    attempts = list_attempts(session, job_id)
    news = read_news(session, attempts, place, LIMIT, until)
    frames: list[Frame] = []
    for batch in news.batches:
        frames += _frames_of(batch, batch.place)
    place = news.place
    events = list_events(session, job_id, place.event, LIMIT + 1)
    if until is not None:
        events = [event for event in events if event.id <= until.event]
    for event in events[:LIMIT]:
        place = replace(place, event=event.id)
        frames.append(Frame("event", partial(_event, event), place))
    has_more = news.has_more or len(events) > LIMIT
    return Update(frames, place, has_more, {"en": english, "zh": chinese})


def find_end(session: Session, job_id: str) -> tuple[Place, bool]:
    """Return the place after the last stored data, and whether the job has ended. Raises JobNotFound."""
    status = jobs.get_status(session, job_id)
    attempts = list_attempts(session, job_id)
    return newest_place(session, job_id, attempts), status.is_final


def status_frame(update: Update) -> Frame:
    """Return the frame with the job's current state."""
    return Frame("status", lambda language: _without_spec(update.views[language]))


def phase_frame(update: Update) -> Frame:
    """Return the frame with the job's current phase."""
    phase = None if update.job.phase is None else update.job.phase.value
    return Frame("phase", lambda _: {"phase": phase, "step": update.job.progress.step})


def done_frame(update: Update) -> Frame:
    """Return the last frame of the stream of a job that has ended."""
    return Frame("done", lambda _: {"status": update.job.status.value}, update.place)


def dropped_frame() -> Frame:
    """Return the last frame for a client that was too slow."""
    hint = "The client was too slow. Reconnect with Last-Event-ID; no data is lost."
    dropped: DroppedData = {"reason": "too_slow", "hint": hint}
    return Frame("dropped", lambda _: dropped)


def _frames_of(batch: Batch, place: Place) -> Sequence[Frame]:
    series: dict[str, list[TimedValue]] = {}
    add_rows(batch.rows, MetricsQuery(), series)
    content: MetricsData = {
        "attempt": batch.attempt,
        "series": {name: to_columns(points) for name, points in series.items()},
        "cursor": place.encode(),
    }
    metrics = Frame("metrics", lambda _: content, place)
    if batch.rewind_to_step is None:
        return [metrics]
    rewind: RewindData = {"attempt": batch.attempt, "rewind_to_step": batch.rewind_to_step}
    # The rewind has no id, so a client that disconnects right after it will receive it again.
    return [Frame("rewind", lambda _: rewind), metrics]


def _event(event: Event, language: Language) -> dict[str, Any]:
    return service.event_view(event, language).model_dump(mode="json")


def _without_spec(view: JobView) -> dict[str, Any]:
    return view.model_dump(mode="json", exclude={"spec"})
