"""Events of a fine-tuning job, newest first: our events with OpenAI's messages, and one event with metrics for each step.

Two events of a job that was created with a file are not stored: that the file is validated, and that it is valid. The server
checks files before a job can use them, so they follow from the creation and have its time.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from app.db.ids import fine_tuning_id
from app.db.tables import Attempt, Event
from app.errors.kinds import BadCursor
from app.events.words import event_words
from app.http.paging import ObjectList, list_objects
from app.jobs import service as jobs
from app.leases.store import list_attempts
from app.openai import ids, store
from app.openai.schemas.history import FineTuningEvent, Level
from app.openai.store import Step
from app.series.line import list_pieces
from contracts.failure import Language
from contracts.job import load_stored_spec
from contracts.protocol.wire import ADAPTER_ARTIFACT

_EVENT = re.compile(r"ftevent-([0-9]{1,18})")
_VALIDATION = re.compile(r"ftevent-[0-9a-f]{8}-file-([01])")
_STEP = re.compile(r"ftevent-[0-9a-f]{8}-([0-9]{1,9})-([0-9]{1,18})")
_LEVELS: Mapping[str, Level] = {"debug": "info", "warning": "warn", "error": "error"}
_TRAIN_NAMES = {
    "loss": "train_loss",
    "token_accuracy": "train_mean_token_accuracy",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "epoch": "epoch",
    "tokens": "tokens",
    "seconds": "seconds",
}
"""Names in an event's data, by the names of our series. The last five are our additions."""
_EVALUATION_NAMES = {"loss": "valid_loss", "token_accuracy": "valid_mean_token_accuracy"}
_VALIDATION_WORDS: Sequence[tuple[str, Mapping[Language, str]]] = (
    (
        "validating_files",
        {"en": "Validating training file: {file}", "zh": "正在检查训练文件：{file}"},
    ),
    (
        "files_validated",
        {
            "en": "Files validated, moving job to queued state",
            "zh": "文件检查完毕，任务进入队列。",
        },
    ),
)


class _After(NamedTuple):
    """Where a page begins."""

    event: tuple[datetime, int] | None = None
    """The time and id of an event. The page contains only older events."""
    attempt: int | None = None
    """The page contains only steps of this attempt or earlier ones."""
    seq: int | None = None
    """Of that attempt, the page contains only steps below this sequence number."""
    until: datetime | None = None
    """The page contains only steps until this time."""
    validation: int | None = None
    """The page contains only the events about the validation of files before this one."""


class _Validation(NamedTuple):
    """An event about the validation of the training file."""

    number: int
    """0 while the file is validated, 1 once it is valid."""
    at: datetime
    file: str


def list_events(
    session: Session, ftjob_id: str, after: str | None, limit: int, language: Language
) -> ObjectList[FineTuningEvent]:
    """Return a page of a job's events, newest first. Raises JobNotFound, and BadCursor unless `after` is the id of an event."""
    job = jobs.get_row(session, ids.job_id(ftjob_id))
    attempts = list_attempts(session, job.id)
    place = _After() if after is None else _place(session, job.id, attempts, after)
    events = store.list_events(session, job.id, limit + 1, before=place.event)
    steps = _read_steps(session, attempts, place, limit + 1)
    spec = load_stored_spec(job.spec)
    name = ids.tuned_model(spec.model, spec.name, job.id)
    # If an event and a step have the same time, the event comes first, as `_place` assumes.
    timed: list[tuple[datetime, int, Event | Step]] = [
        *((event.at, 1, event) for event in events),
        *((step.at, 0, step) for step in steps),
    ]
    timed.sort(key=lambda entry: entry[:2], reverse=True)  # stable
    entries: list[Event | Step | _Validation] = [entry[2] for entry in timed]
    for index, event in enumerate(entries):
        if isinstance(event, Event) and event.code == "job_created":
            entries[index:index] = _list_validations(session, event, place)
            break
    page = entries[:limit]
    evaluations = _find_evaluations(session, attempts, page)
    data = [
        _view(entry, job.id, name, language)
        if not isinstance(entry, Step)
        else _step_view(entry, job.id, evaluations.get((entry.attempt, entry.step), {}))
        for entry in page
    ]
    return list_objects(data, has_more=len(entries) > limit)


def _view(
    entry: Event | _Validation, job_id: str, name: str, language: Language
) -> FineTuningEvent:
    if isinstance(entry, _Validation):
        return _validation_view(entry, job_id, language)
    return _event_view(entry, job_id, name, language)


def _list_validations(session: Session, created: Event, place: _After) -> list[_Validation]:
    """Return the events about the training file between the creation of a job and its later events, newest first."""
    fine_tune = store.find_fine_tunes(session, [created.job_id]).get(created.job_id)
    if fine_tune is None:  # created with our own API
        return []
    numbers = (1, 0) if place.validation is None else range(place.validation - 1, -1, -1)
    return [_Validation(number, created.at, fine_tune.training_file) for number in numbers]


def _place(session: Session, job_id: str, attempts: Sequence[Attempt], after: str) -> _After:
    if match := _VALIDATION.fullmatch(after):
        created = store.find_creation(session, job_id)
        if created is not None and after.startswith(f"ftevent-{ids.shown_digits(job_id)}-"):
            older = (created.at, created.id + 1)  # the creation itself is older
            return _After(event=older, until=created.at, validation=int(match[1]))
    elif match := _EVENT.fullmatch(after):
        event = store.find_event(session, job_id, int(match[1]))
        if event is not None:
            return _After(event=(event.at, event.id), until=event.at)
    elif match := _STEP.fullmatch(after):
        number, seq = int(match[1]), int(match[2])
        for attempt in attempts:
            if attempt.number == number:
                at = store.find_step_time(session, attempt.id, seq)
                if at is not None:
                    step_at = store.time_within(attempt, at)
                    return _After(event=(step_at, 0), attempt=number, seq=seq)
    raise BadCursor("after")


def _read_steps(
    session: Session, attempts: Sequence[Attempt], place: _After, limit: int
) -> list[Step]:
    found: list[Step] = []
    for piece in reversed(list_pieces(attempts)):
        number = piece.attempt.number
        if place.attempt is not None and number > place.attempt:
            continue
        below = place.seq if number == place.attempt else None
        left = limit - len(found)
        found += store.list_steps(session, piece, left, below=below, until=place.until)
        if len(found) == limit:
            break
    return found


def _find_evaluations(
    session: Session, attempts: Sequence[Attempt], page: Sequence[Event | Step | _Validation]
) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the evaluations at the steps on a page, by attempt and step."""
    steps: dict[int, list[int]] = {}
    for entry in page:
        if isinstance(entry, Step):
            steps.setdefault(entry.attempt, []).append(entry.step)
    return {
        (attempt.number, step): data
        for attempt in attempts
        if attempt.number in steps
        for step, data in store.find_evaluations(session, attempt.id, steps[attempt.number]).items()
    }


def _step_view(step: Step, job_id: str, evaluation: Mapping[str, Any]) -> FineTuningEvent:
    data: dict[str, Any] = {"step": step.step}
    data |= _named(step.values, _TRAIN_NAMES) | _named(evaluation, _EVALUATION_NAMES)
    # An evaluation covers the whole validation split.
    data |= {f"full_{name}": data[name] for name in _EVALUATION_NAMES.values() if name in data}
    parts = [f"Step {step.step}: training loss={_shown(data.get('train_loss'))}"]
    if "valid_loss" in data:
        parts.append(f"validation loss={_shown(data['valid_loss'])}")
    return FineTuningEvent(
        id=f"ftevent-{ids.shown_digits(job_id)}-{step.attempt}-{step.seq}",
        created_at=int(step.at.timestamp()),
        level="info",
        message=", ".join(parts),
        type="metrics",
        data=data,
    )


def _named(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float | None]:
    """Return the known values under their names in OpenAI's API; None if they are not finite."""
    return {
        name: float(values[ours]) if _is_finite(values[ours]) else None
        for ours, name in names.items()
        if values.get(ours) is not None
    }


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shown(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.4f}"


def _event_view(event: Event, job_id: str, name: str, language: Language) -> FineTuningEvent:
    message = _openai_words(event, job_id, name) if language == "en" else None
    return FineTuningEvent(
        id=f"ftevent-{event.id}",
        created_at=int(event.at.timestamp()),
        level=_LEVELS.get(event.level, "info"),
        message=message or event_words(event.code, language, event.data),
        type="message",
        data={"code": event.code, "attempt": event.attempt, **event.data},
    )


def _validation_view(event: _Validation, job_id: str, language: Language) -> FineTuningEvent:
    code, words = _VALIDATION_WORDS[event.number]
    return FineTuningEvent(
        id=f"ftevent-{ids.shown_digits(job_id)}-file-{event.number}",
        created_at=int(event.at.timestamp()),
        level="info",
        message=words[language].format(file=event.file),
        type="message",
        data={"code": code, "file": event.file},
    )


def _openai_words(event: Event, job_id: str, name: str) -> str | None:
    """Return the message that OpenAI's API uses for an event, or None if it has no such event."""
    match event.code:
        case "job_created":
            return f"Created fine-tuning job: {fine_tuning_id(job_id)}"
        case "attempt_started":
            return "Fine-tuning job started"
        case "checkpoint":
            return f"Checkpoint created at step {event.data.get('step')}"
        case "artifact_uploaded" if event.data.get("name") == ADAPTER_ARTIFACT:
            return f"New fine-tuned model created: {name}"
        case "job_succeeded":
            return "The job has successfully completed"
    return None
