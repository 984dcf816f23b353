"""Decides which specs the server accepts, and plans a job."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.readiness import require_ready
from app.datasets.review.job_data import find_job_warnings
from app.datasets.review.schemas import JobWarning
from app.db.engine import database_now
from app.db.tables import Dataset
from app.errors.base import FieldError
from app.errors.field_words import field_message
from app.errors.kinds import (
    DoesNotFit,
    InvalidField,
    NoTrainingRows,
    TooManyGpus,
    UnknownDataset,
    UnsafeCharacter,
)
from app.jobs.queue import waits
from app.jobs.queue.gpu_need import GpuNeed, find_need
from app.jobs.schemas import Plan
from app.measurements import service as measurements
from app.models.checks import check_model
from app.plans.forecast import Counts, Least, forecast_job
from app.plans.rows import RowSample, read_sample, take_sample
from app.plans.schemas import Forecast
from app.plans.words import say
from app.storage.data_dir import Storage
from app.workers import service as workers
from contracts.dataset.conversation import RATING_FORMS
from contracts.dataset.features import RowFeatures
from contracts.failure import Language
from contracts.field_error import FieldProblem
from contracts.job import DatasetSource, JobSpec
from contracts.measurement import TokenCounts
from contracts.run.plan import evaluation_cost
from contracts.values.text import UNSAFE, find_unsafe


class Planned(NamedTuple):
    """The plan of a job, and the memory below which a device does not get it."""

    plan: Plan
    least: Least


def read_rows(session: Session, storage: Storage, spec: JobSpec) -> RowSample | None:
    """Return the lengths of a job's training rows: counted if possible, otherwise those of a sample, estimated.

    None if they are not an uploaded dataset. Call it before the transaction that stores the job, because it reads a file.
    """
    source = spec.dataset.train
    dataset = datasets.find_dataset(session, source) if isinstance(source, str) else None
    if dataset is None:
        return None
    counted = measurements.find_counts(session, dataset.id, spec.model)
    if counted is not None:
        return take_sample(TokenCounts.model_validate(counted.counts))
    return read_sample(storage.path(dataset.path))


def plan_job(
    session: Session, spec: JobSpec, language: Language, sample: RowSample | None = None
) -> Planned:
    """Check a spec against the datasets and models, and plan the job. Raises an AppError that names the field.

    `sample`: the result of read_rows. Without it, the tokens of the job are unknown.
    """
    _reject_unsafe(spec)
    need = _find_gpus(spec)
    train = _find_rows(session, spec.dataset.train, "dataset.train")
    separate = None
    if spec.dataset.eval is not None:
        separate = _find_rows(session, spec.dataset.eval, "dataset.eval")
    used = {"dataset.train": train, "dataset.eval": separate}
    _require_preference(spec, used, language)
    model = check_model(session, spec, language, _features(used))
    counts = replace(_count(spec, used), sample=sample)
    held_out = spec.dataset.held_out_rows(_trained_rows(train)) if train else 0
    live = workers.list_live(session, spec.queue, database_now(session))
    able = [each for each in waits.find_candidates(live, spec.model) if workers.is_able(each)]
    forecast, least = forecast_job(
        session, spec, counts, able, lambda worker: need.on_host(worker.cards)
    )
    largest = waits.largest_host(live, spec.model)
    waiting = waits.Waiting(need, spec.model, spec.queue, least=least)
    plan = Plan(
        spec=spec,
        train_rows=counts.train_rows,
        eval_rows=counts.eval_rows,
        steps=counts.steps,
        evaluation=counts.evaluation,
        model=model,
        gpus=need.gpus or (None if largest is None else need.on_host(largest)),
        waiting=waits.find_wait(waiting, live, language),
        forecast=Forecast.model_validate(say(forecast, language)),
        data_warnings=_data_warnings(session, used, held_out, language),
    )
    return Planned(plan, least)


def require_fit(plan: Plan) -> None:
    """Raise DoesNotFit unless the job fits a live worker."""
    forecast = plan.forecast
    if not forecast.fits:
        reason = forecast.reason.message if forecast.reason else ""
        raise DoesNotFit("require_fit", reason=reason)


def _count(spec: JobSpec, used: Mapping[str, Dataset | None]) -> Counts:
    """Return the rows and steps of a job. Raises NoTrainingRows."""
    train, separate = used["dataset.train"], used["dataset.eval"]
    eval_rows = _trained_rows(separate) if separate else None
    if train is None:
        return Counts(None, eval_rows, spec.training.max_steps, None, None)
    rows = _trained_rows(train)
    held_out = spec.dataset.held_out_rows(rows)
    train_rows = rows - held_out
    if train_rows < 1:
        raise NoTrainingRows("dataset.eval_size", eval_size=spec.dataset.eval_size, rows=rows)
    if spec.dataset.eval is None:
        eval_rows = held_out
    # Documents are concatenated and split at max_length, so the number of samples is not known before tokenization.
    is_text = any(dataset and "text" in dataset.forms for dataset in used.values())
    has_cost = not is_text and eval_rows is not None
    return Counts(
        train_rows=train_rows,
        eval_rows=eval_rows,
        steps=spec.training.max_steps if is_text else spec.total_steps(train_rows),
        evaluation=evaluation_cost(spec, train_rows, eval_rows or 0) if has_cost else None,
        sample=None,
        is_text=is_text,
    )


def _find_rows(session: Session, source: DatasetSource, param: str) -> Dataset | None:
    if not isinstance(source, str):
        return None
    dataset = datasets.find_any(session, source)
    if dataset is None:
        raise UnknownDataset(param, dataset=source)
    require_ready(dataset, param)
    return dataset


def _features(used: Mapping[str, Dataset | None]) -> dict[str, RowFeatures]:
    """Return the chat template features that each uploaded dataset needs, if known."""
    return {
        param: RowFeatures.model_validate(dataset.features)
        for param, dataset in used.items()
        if dataset is not None and dataset.features is not None
    }


def _data_warnings(
    session: Session, used: Mapping[str, Dataset | None], held_out_rows: int, language: Language
) -> list[JobWarning]:
    train, separate = used["dataset.train"], used["dataset.eval"]
    return find_job_warnings(
        session,
        train_id=train.id if train else None,
        eval_id=separate.id if separate else None,
        held_out_rows=held_out_rows,
        language=language,
    )


def _trained_rows(dataset: Dataset) -> int:
    """Return the number of trainable rows. The worker skips the others before it holds out rows."""
    features = RowFeatures.model_validate(dataset.features or {})
    return dataset.rows - features.untrained


def _require_preference(
    spec: JobSpec, used: Mapping[str, Dataset | None], language: Language
) -> None:
    """Raise InvalidField if rows rate answers and the job does not specify how to use them."""
    if spec.dataset.preference is not None:
        return
    for dataset in used.values():
        rated = (
            {form: dataset.forms[form] for form in RATING_FORMS if form in dataset.forms}
            if dataset
            else {}
        )
        if dataset is None or not rated:
            continue
        values = {"rows": sum(rated.values()), "dataset": dataset.id, "forms": ", ".join(rated)}
        error = {"type": FieldProblem.PREFERENCE_REQUIRED, "ctx": values, "input": None}
        code, message = field_message([error], language)
        raise InvalidField([FieldError(param="dataset.preference", code=code, message=message)])


def _find_gpus(spec: JobSpec) -> GpuNeed:
    need = find_need(spec)
    if need.gpus > spec.effective_batch_size:
        raise TooManyGpus("resources.gpus", gpus=need.gpus, samples=spec.effective_batch_size)
    return need


def _reject_unsafe(spec: JobSpec) -> None:
    """Raise UnsafeCharacter if any text in a new job contains a character that is unsafe to show.

    The contract accepts these characters, because jobs stored by earlier versions may contain them and must still run.
    """
    for field, text in _texts("", spec.model_dump(mode="json")):
        character = find_unsafe(text)
        if character is not None:
            raise UnsafeCharacter(field, field=field, character=character)


def _texts(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and content of each string in plain data, including keys."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            inner_path = ".".join(filter(None, (path, UNSAFE.sub("", key))))
            yield inner_path, key
            yield from _texts(inner_path, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(path, inner)
