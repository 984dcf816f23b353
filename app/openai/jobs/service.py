"""Fine-tuning jobs: creates and lists our jobs for OpenAI's clients, in OpenAI's format."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.engine import Database, database_now
from app.db.ids import fine_tuning_id, is_id
from app.db.openai_tables import FineTune
from app.db.tables import to_json
from app.errors.kinds import BadCursor
from app.files.store import find_newest_files
from app.http.paging import ObjectList, list_objects
from app.jobs import service as jobs
from app.jobs import store as job_rows
from app.jobs.listing.cursors import encode_place
from app.jobs.listing.walks import Place
from app.jobs.schemas import JobFilter, JobSort, JobView
from app.jobs.submission import submit
from app.jobs.submission.job_data import list_uploads, read_rows
from app.openai import ids, store
from app.openai.files.store import find_adapters
from app.openai.jobs import retries
from app.openai.jobs.creation import Options, multiplier_of, renamed_errors, to_spec
from app.openai.jobs.retries import Submission
from app.openai.schemas.objects import (
    FineTuningError,
    FineTuningJob,
    UsedHyperparameters,
    UsedIntegration,
    UsedMethod,
    UsedSupervised,
)
from app.openai.schemas.requests import NewFineTuningJob
from app.storage.data_dir import Storage
from contracts.data_spec import DatasetSource
from contracts.failure import Language
from contracts.job import JobStatus
from contracts.wandb import WandbSettings

MOST_PAGES = 20
"""A filtered list is searched on this many pages of our list for one request, and further until there is a job."""


class MetadataFilter(NamedTuple):
    """Which metadata the jobs of a list must have."""

    labels: Sequence[tuple[str, str]]
    is_null: bool
    """Whether to list only jobs without metadata."""


def create_job(
    database: Database,
    storage: Storage,
    new: NewFineTuningJob,
    *,
    key: str | None,
    submission: Submission | None,
    options: Options,
    language: Language,
) -> tuple[FineTuningJob, str | None]:
    """Submit a job, unless an equal request has already submitted it.

    `submission` is ignored if there is an idempotency key. Return the job, and the queue to ring if it is new. Raises an AppError
    that names OpenAI's field.
    """
    number = None
    if submission is not None and key is None:
        with database.writing() as session:
            noted = retries.note_request(session, submission, database_now(session))
        if noted.job_id is not None:
            with database.reading() as session:
                return get_job(session, noted.job_id, language), None
        number = noted.number
    return submit_job(
        database, storage, new, key=key, number=number, options=options, language=language
    )


def submit_job(
    database: Database,
    storage: Storage,
    new: NewFineTuningJob,
    *,
    key: str | None,
    number: int | None,
    options: Options,
    language: Language,
) -> tuple[FineTuningJob, str | None]:
    """Submit the job of a request; `number` is that of its row, if it has one. See create_job."""
    with database.reading() as session:
        spec = to_spec(session, new, options)
        sample = read_rows(session, storage, spec)
    with database.writing() as session, renamed_errors(new):
        job_id = None if number is None else retries.lock_request(session, number)
        is_new = job_id is None
        if job_id is None:
            answer, is_new = submit.submit_job(session, spec, key, language, sample=sample)
            job_id = str(answer["id"])
            if number is not None:
                retries.keep_job(session, number, job_id)
        if is_new:
            store.insert_fine_tune(
                session,
                FineTune(
                    job_id=job_id,
                    training_file=new.training_file,
                    validation_file=new.validation_file,
                    model=new.model,
                    wandb=to_json(new.integrations[0].wandb) if new.integrations else None,
                ),
            )
        job = get_job(session, job_id, language)
    return job, spec.queue if is_new else None


def get_job(session: Session, ftjob_id: str, language: Language) -> FineTuningJob:
    """Return a job. Raises JobNotFound."""
    return view_jobs(session, [jobs.get_job(session, ids.job_id(ftjob_id), language)])[0]


def list_jobs(
    session: Session,
    after: str | None,
    limit: int,
    metadata: MetadataFilter,
    language: Language,
) -> ObjectList[FineTuningJob]:
    """Return a page of jobs, newest first. Raises BadCursor unless `after` is the id of a job."""
    chosen = JobFilter(
        search="",
        statuses=[],
        labels=list(metadata.labels),
        is_unlabelled=metadata.is_null,
        created_after=None,
        created_before=None,
        archived=None,
    )
    cursor = None if after is None else _cursor_after(session, after)
    found: list[JobView] = []
    has_more = True
    pages = 0
    # A page of a filtered list may be empty although there are more jobs. A client would take an empty page for the end.
    while has_more and len(found) < limit and (pages < MOST_PAGES or not found):
        page = jobs.list_jobs(session, chosen, cursor, limit - len(found), language)
        found += page.data
        cursor, has_more = page.cursor, page.has_more
        pages += 1
    return list_objects(view_jobs(session, found), has_more=has_more)


def view_jobs(session: Session, found: Sequence[JobView]) -> list[FineTuningJob]:
    """Return jobs in OpenAI's format."""
    job_ids = [job.id for job in found]
    fine_tunes = store.find_fine_tunes(session, job_ids)
    succeeded = [job.id for job in found if job.status is JobStatus.SUCCEEDED]
    tokens = store.find_trained_tokens(session, succeeded)
    adapters = find_adapters(session, succeeded)
    uploads = {upload for job in found for upload in list_uploads(job.spec)}
    uploads |= {job.spec.dataset.eval for job in found if isinstance(job.spec.dataset.eval, str)}
    names = find_newest_files(session, uploads)
    now = database_now(session)
    return [
        _view(
            job,
            fine_tunes.get(job.id),
            names,
            tokens.get(job.id),
            now,
            has_adapter=job.id in adapters,
        )
        for job in found
    ]


def _view(
    job: JobView,
    fine_tune: FineTune | None,
    names: dict[str, str],
    trained_tokens: int | None,
    now: datetime,
    *,
    has_adapter: bool,
) -> FineTuningJob:
    spec, training = job.spec, job.spec.training
    used = UsedHyperparameters(
        batch_size=spec.effective_batch_size,
        learning_rate_multiplier=multiplier_of(training.learning_rate),
        n_epochs=training.epochs,
    )
    has_succeeded = job.status is JobStatus.SUCCEEDED
    is_estimated = job.status is JobStatus.RUNNING and job.eta_seconds is not None
    return FineTuningJob(
        id=fine_tuning_id(job.id),
        created_at=_seconds(job.created_at),
        finished_at=_seconds(job.ended_at) if job.status.is_final and job.ended_at else None,
        model=spec.model,
        requested_model=(fine_tune and fine_tune.model) or spec.model,
        fine_tuned_model=ids.tuned_model(spec.model, spec.name, job.id) if has_succeeded else None,
        organization_id=ids.ORGANIZATION_ID,
        status=job.status,
        hyperparameters=used,
        method=UsedMethod(supervised=UsedSupervised(hyperparameters=used)),
        training_file=(
            fine_tune.training_file
            if fine_tune
            else ",".join(_source_name(part.dataset, names) for part in spec.dataset.parts)
        ),
        validation_file=fine_tune.validation_file if fine_tune else _evaluation(job, names),
        result_files=[ids.results_file(job.id)] if has_succeeded else [],
        trained_tokens=trained_tokens,
        error=_error(job),
        seed=training.seed,
        estimated_finish=(
            _seconds(now + timedelta(seconds=job.eta_seconds or 0)) if is_estimated else None
        ),
        integrations=[UsedIntegration(wandb=WandbSettings.model_validate(fine_tune.wandb))]
        if fine_tune is not None and fine_tune.wandb is not None
        else [],
        metadata=job.labels,
        user_provided_suffix=spec.name,
        adapter_file=ids.adapter_file(job.id) if has_adapter else None,
        stepline=job,
    )


def _error(job: JobView) -> FineTuningError | None:
    if job.status is not JobStatus.FAILED or job.error is None:
        return None
    message = " ".join(filter(None, (job.error.message, job.error.hint)))
    return FineTuningError(code=job.error.code, message=message)


def _evaluation(job: JobView, names: dict[str, str]) -> str | None:
    separate = job.spec.dataset.eval
    return None if separate is None else _source_name(separate, names)


def _source_name(source: DatasetSource, names: dict[str, str]) -> str:
    return names.get(source, source) if isinstance(source, str) else source.hub


def _cursor_after(session: Session, ftjob_id: str) -> str:
    job_id = ids.job_id(ftjob_id)
    job = job_rows.find_plain(session, job_id) if is_id(job_id) else None
    if job is None:
        raise BadCursor("after")
    return encode_place(Place(job.created_at, job.number), JobSort.NEWEST)


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
