"""The output of `stepline watch` outside a terminal: one line per change, or one line of JSON per update."""

import time
from collections.abc import Callable

from contracts.values.text import escape
from stepline.client.updates import Disconnected, Happened, Metrics, StatusChanged, Update
from stepline.client.views import JobState
from stepline.terminal.display.figures import (
    show_loss,
    show_phase,
    show_progress,
    show_seconds,
    show_status,
)
from stepline.terminal.session import Session

PROGRESS_SECONDS = 10.0
"""Minimum time between lines about progress."""


class Lines:
    """Prints updates as lines."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self._stage: tuple[str, str | None] | None = None
        self._printed_at = -PROGRESS_SECONDS

    def add(self, update: Update) -> None:
        """Print a line for an update if it needs one."""
        if self._session.as_json:
            self._add_json(update)
            return
        match update:
            case StatusChanged(job=job):
                self._add_status(job)
            case Happened(event=event):
                self._session.print_text(
                    f"{event.at.astimezone():%H:%M:%S} {escape(event.message)}"
                )
            case Disconnected():
                self._session.tell("said.lost")

    def _add_status(self, job: JobState) -> None:
        language = self._session.language
        stage = (job.status.value, job.phase)
        is_new = stage != self._stage
        if not is_new and self._clock() - self._printed_at < PROGRESS_SECONDS:
            return
        self._stage = stage
        self._printed_at = self._clock()
        words = [show_status(job.status, language), show_progress(job, language)]
        if job.phase is not None and job.progress.rows is None:
            words.insert(1, show_phase(job.phase, language))
        if job.last_loss is not None:
            words.append(f"{self._session.say('loss')} {show_loss(job.last_loss)}")
        if job.eval_loss is not None:
            words.append(f"{self._session.say('eval_loss')} {show_loss(job.eval_loss)}")
        if job.eta_seconds is not None:
            words.append(self._session.say("eta", time=show_seconds(job.eta_seconds)))
        self._session.print_text(" · ".join(words))

    def _add_json(self, update: Update) -> None:
        match update:
            case StatusChanged(job=job):
                self._session.print_json({"event": "status", "data": job.model_dump(mode="json")})
            case Happened(event=event):
                self._session.print_json({"event": "event", "data": event.model_dump(mode="json")})
            case Metrics(series=series):
                columns = {name: each.model_dump(mode="json") for name, each in series.items()}
                self._session.print_json({"event": "metrics", "data": {"series": columns}})
