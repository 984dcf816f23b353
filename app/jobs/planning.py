"""Decides which specs the server accepts, and plans a job."""

from collections.abc import Iterator, Mapping

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.service import require_ready
from app.db.engine import database_now
from app.db.tables import Dataset
from app.errors.base import FieldError
from app.errors.field_words import field_message
from app.errors.kinds import (
    InvalidField,
    NoTrainingRows,
    TooManyGpus,
    UnknownDataset,
    UnsafeCharacter,
)
from app.jobs.queue import waits
from app.jobs.queue.gpu_need import GpuNeed, find_need
from app.jobs.schemas import JobWait, Plan
from app.models.checks import check_model
from app.workers import service as workers
from contracts.dataset.conversation import RATING_FORMS
from contracts.dataset.features import RowFeatures
from contracts.failure import Language
from contracts.field_error import FieldProblem
from contracts.job import DatasetSource, JobSpec
from contracts.run.plan import evaluation_cost
from contracts.values.text import UNSAFE, find_unsafe


def plan_job(session: Session, spec: JobSpec, language: Language) -> Plan:
    """Check a spec against the datasets and models, and return its plan. Raises an AppError that names the field."""
    _reject_unsafe(spec)
    need = _find_gpus(spec)
    train = _find_rows(session, spec.dataset.train, "dataset.train")
    separate = None
    if spec.dataset.eval is not None:
        separate = _find_rows(session, spec.dataset.eval, "dataset.eval")
    used = {"dataset.train": train, "dataset.eval": separate}
    _require_preference(spec, used, language)
    model = check_model(session, spec, language, _features(used))
    eval_rows = _trained_rows(separate) if separate else None
    gpus, waiting = _plan_gpus(session, spec, need, language)
    if train is None:
        return Plan(
            spec=spec,
            train_rows=None,
            eval_rows=eval_rows,
            steps=None,
            model=model,
            gpus=gpus,
            waiting=waiting,
        )
    rows = _trained_rows(train)
    held_out = spec.dataset.held_out_rows(rows)
    train_rows = rows - held_out
    if train_rows < 1:
        raise NoTrainingRows("dataset.eval_size", eval_size=spec.dataset.eval_size, rows=rows)
    if spec.dataset.eval is None:
        eval_rows = held_out
    # Documents are concatenated and split at max_length, so the number of samples is not known before tokenization.
    is_countable = not any(dataset and "text" in dataset.forms for dataset in used.values())
    return Plan(
        spec=spec,
        train_rows=train_rows,
        eval_rows=eval_rows,
        steps=spec.total_steps(train_rows) if is_countable else spec.training.max_steps,
        evaluation=evaluation_cost(spec, train_rows, eval_rows)
        if is_countable and eval_rows is not None
        else None,
        model=model,
        gpus=gpus,
        waiting=waiting,
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


def _plan_gpus(
    session: Session, spec: JobSpec, need: GpuNeed, language: Language
) -> tuple[int | None, JobWait | None]:
    """Return how many GPUs a job would use, and why it could not start, or None."""
    live = workers.list_live(session, spec.queue, database_now(session))
    largest = waits.largest_host(live, spec.model)
    gpus = need.gpus or (None if largest is None else need.on_host(largest))
    return gpus, waits.find_wait(waits.Waiting(need, spec.model, spec.queue), live, language)


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
