"""Stores a new job with its plan, unless a request with the same idempotency key has stored it already."""

import hashlib
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.review.job_data import EVALUATION_WARNINGS
from app.db.engine import database_now
from app.db.ids import new_id
from app.db.tables import Job, to_json
from app.errors.kinds import UnknownDataset
from app.events import store as events
from app.jobs import store
from app.jobs.queue import order as queue
from app.jobs.queue.gpu_need import find_need
from app.jobs.requests import idempotency
from app.jobs.schemas import StoredAnswer
from app.jobs.submission import planning
from app.jobs.submission.job_data import dataset_columns, list_uploads
from app.jobs.views import view
from app.plans.forecast import Least
from app.plans.rows.sample import RowSample
from contracts.failure import Language
from contracts.job import JobSpec, JobStatus, list_newer_defaults


def submit_job(
    session: Session,
    spec: JobSpec,
    key: str | None,
    language: Language = "en",
    *,
    sample: RowSample | None = None,
    require_fit: bool = False,
) -> tuple[StoredAnswer, bool]:
    """Store a job with its plan; return the response body and whether the job is new.

    `sample`: see job_data.read_rows. `require_fit`: raise DoesNotFit unless the job is known to fit a live worker.
    """
    now = database_now(session)
    if key is not None:
        # A request may be repeated after an upgrade of the server.
        content = spec.model_dump_json(exclude=list_newer_defaults(spec))
        fingerprint = hashlib.sha256(content.encode()).hexdigest()
        stored = idempotency.reserve_key(session, key, fingerprint, now)
        if stored is not None:
            return stored, False
    planned = planning.plan_job(session, spec, language, now, sample)
    if require_fit:
        planning.require_fit(planned.plan)
    job = _insert(session, spec, planned.least, now)
    planning.keep_plan(session, job.id, planned, sample, language)
    for warning in planned.plan.data_warnings:
        if warning.code in EVALUATION_WARNINGS:
            events.insert_event(
                session, job.id, warning.code, now, level="warning", rows=warning.rows
            )
    seen = view(
        job=job,
        lease_expires_at=None,
        run_seconds=None,
        place=queue.find_place(session, job),
        waiting=planned.plan.waiting,
        now=now,
        language=language,
    )
    answer = to_json(seen)
    if key is not None:
        idempotency.keep_answer(session, key, answer)
    return answer, True


def _insert(session: Session, spec: JobSpec, least: Least, now: datetime) -> Job:
    need, uploads = find_need(spec), list_uploads(spec)
    job = Job(
        id=new_id("job"),
        status=JobStatus.QUEUED,
        spec=to_json(spec),
        model=spec.model,
        queue=spec.queue,
        priority=spec.priority,
        gpus=need.gpus,
        most_gpus=need.most,
        least_cpu_bytes=least.cpu_bytes,
        least_gpu_bytes=least.gpu_bytes,
        is_mixed=spec.dataset.is_mixed,
        created_at=now,
        **dataset_columns(spec),
    )
    try:
        store.insert_job(session, job, spec.name or "", spec.labels)
        if spec.dataset.is_mixed:
            datasets.link_datasets(session, job.id, uploads)
    except IntegrityError as error:
        # plan_job found the dataset, but another request has deleted it in the meantime.
        raise UnknownDataset("dataset.train", dataset=", ".join(uploads)) from error
    events.insert_event(session, job.id, "job_created", now)
    return job
