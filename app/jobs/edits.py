"""Rules for edits after submission: name, labels, notes, archived, and priority while the job is queued."""

from sqlalchemy.orm import Session

from app.db.engine import database_now
from app.db.tables import Job
from app.errors.kinds import (
    EditConflict,
    JobNotEnded,
    JobNotQueued,
    TooManyLabels,
    UnsafeCharacter,
)
from app.events import store as events
from app.jobs import service, store
from app.jobs.columns import JobColumns
from app.jobs.queue import reservations
from app.jobs.requests import etags
from app.jobs.schemas import JobEdit, JobView
from app.jobs.views import name_and_labels
from contracts.failure import Language
from contracts.job import JobStatus, load_stored_spec
from contracts.values.text import find_unsafe

MOST_LABELS = 16


def edit_job(
    session: Session, job_id: str, edit: JobEdit, if_match: str | None, language: Language
) -> tuple[JobView, list[str]]:
    """Change the fields contained in the edit. Without If-Match, the last edit takes effect.

    Return the job, and the queue once per ring to send. Raises EditConflict, JobNotQueued, JobNotEnded, TooManyLabels
    or UnsafeCharacter, without changing anything.
    """
    job = service.lock_job(session, job_id)
    if if_match is not None:
        tag = etags.tag_of(service.get_job(session, job_id, language))
        if not etags.allows_edit(if_match, tag):
            raise EditConflict("If-Match", job=job_id)
    _edit_texts(session, job, edit)
    to_ring = _edit_priority(session, job, edit)
    _edit_archived(session, job, edit)
    return service.get_job(session, job_id, language), to_ring


def _edit_texts(session: Session, job: Job, edit: JobEdit) -> None:
    name, labels = name_and_labels(job, load_stored_spec(job.spec))
    new_name, new_labels, notes = name, _merged(labels, edit), job.notes
    if "name" in edit.model_fields_set:
        new_name = (edit.name or "").strip() or None
    if "notes" in edit.model_fields_set:
        notes = (edit.notes or "").replace("\r\n", "\n").strip() or None
    _reject_unsafe("name", new_name if new_name != name else None)
    _reject_unsafe("notes", None if notes is None else notes.replace("\n", "").replace("\t", ""))
    changed: JobColumns = {}
    if new_name != name or new_labels != labels:
        changed["edited"] = {"name": new_name, "labels": new_labels}
    if notes != job.notes:
        changed["notes"] = notes
    if not changed:
        return
    pairs = {
        "name": new_name != name,
        "labels": new_labels != labels,
        "notes": "notes" in changed,
    }
    if pairs["name"]:
        store.update_name(session, job, new_name or "")
    if pairs["labels"]:
        store.replace_labels(session, job, new_labels)
    store.update_job(session, job, **changed)
    fields = [field for field, has_changed in pairs.items() if has_changed]
    events.insert_event(session, job.id, "job_edited", database_now(session), fields=fields)


def _merged(labels: dict[str, str], edit: JobEdit) -> dict[str, str]:
    for key, value in edit.labels.items():
        _reject_unsafe("labels", key)
        _reject_unsafe(f"labels.{key}", value)
    given = labels | edit.labels
    merged = {key: value for key, value in given.items() if value is not None}
    if len(merged) > MOST_LABELS and merged != labels:
        raise TooManyLabels("labels", count=len(merged), most=MOST_LABELS)
    return merged


def _edit_priority(session: Session, job: Job, edit: JobEdit) -> list[str]:
    if "priority" not in edit.model_fields_set or edit.priority == job.priority:
        return []
    if job.status is not JobStatus.QUEUED:
        raise JobNotQueued("priority", job=job.id, status=job.status.value)
    now = database_now(session)
    before, was_reserved = job.priority, job.reserved_host is not None
    # The reservation was made for the job's previous place in the queue.
    store.update_job(session, job, priority=edit.priority, reserved_host=None)
    events.insert_event(
        session, job.id, "priority_changed", now, before=before, after=edit.priority
    )
    # The job may now be ahead of one for which a host is reserved.
    is_ring_due = was_reserved or job.priority > before
    return reservations.rings_after(session, job.queue, now) if is_ring_due else []


def _edit_archived(session: Session, job: Job, edit: JobEdit) -> None:
    if "archived" not in edit.model_fields_set or edit.archived == job.archived:
        return
    if edit.archived and not job.status.is_final:
        raise JobNotEnded("archived", job=job.id, status=job.status.value)
    store.mark_archived(session, job, archived=edit.archived)
    code = "job_archived" if edit.archived else "job_unarchived"
    events.insert_event(session, job.id, code, database_now(session))


def _reject_unsafe(field: str, text: str | None) -> None:
    character = find_unsafe(text or "")
    if character is not None:
        raise UnsafeCharacter(field, field=field, character=character)
