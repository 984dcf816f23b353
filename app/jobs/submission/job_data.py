"""Finds the datasets of a new job, checks that their rows can be used, and counts rows and steps."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.readiness import require_ready
from app.datasets.review import store as reviews
from app.datasets.review.job_data import Used, find_job_warnings
from app.datasets.review.schemas import JobWarning
from app.db.tables import Dataset
from app.errors.base import FieldError
from app.errors.field_words import field_message
from app.errors.kinds import InvalidField, NoTrainingRows, NoTrainingRowsOfDataset, UnknownDataset
from app.jobs.submission.mixture_warnings import find_unused
from app.measurements import service as measurements
from app.plans.forecast import Counts
from app.plans.rows.sample import Characters, RowSample, mix_samples, read_sample, take_sample
from app.storage.data_dir import Storage
from contracts.data_spec import DatasetSource
from contracts.dataset.conversation import RATING_FORMS
from contracts.dataset.features import RowFeatures
from contracts.errands.measurement import TokenCounts
from contracts.failure import Language
from contracts.field_error import FieldProblem
from contracts.job import JobSpec
from contracts.run.mixture import held_out_of_each, used_rows
from contracts.run.plan import evaluation_cost


class Source(NamedTuple):
    """A dataset that a job uses."""

    param: str
    """The path of the field that names it."""
    dataset: Dataset | None
    """None for a dataset on the hub."""
    weight: float = 1.0


class JobData(NamedTuple):
    """All datasets of a job."""

    train: Sequence[Source]
    evaluation: Source | None

    @property
    def uploaded(self) -> Iterator[tuple[str, Dataset]]:
        """The uploaded datasets with the paths of their fields."""
        for source in (*self.train, *([self.evaluation] if self.evaluation else [])):
            if source.dataset is not None:
                yield source.param, source.dataset

    @property
    def features(self) -> dict[str, RowFeatures]:
        """The chat template features that each uploaded dataset needs, if known, by the path of its field."""
        return {
            param: RowFeatures.model_validate(dataset.features)
            for param, dataset in self.uploaded
            if dataset.features is not None
        }

    def held_out(self, spec: JobSpec) -> list[int] | None:
        """Return the number of rows held out of each training dataset; None if one would have no rows left.

        All training datasets must be uploaded.
        """
        rows = self.rows
        return held_out_of_each(rows, spec.dataset.held_out_rows(sum(rows)))

    @property
    def rows(self) -> list[int]:
        """Number of trainable rows of each training dataset; 0 for a dataset on the hub."""
        return [_trained_rows(each.dataset) if each.dataset else 0 for each in self.train]


def find_data(session: Session, spec: JobSpec) -> JobData:
    """Return the datasets of a job. Raises UnknownDataset, DatasetValidating or DatasetFailed."""
    train = [
        _find(session, part.dataset, spec.dataset.param_of(number))._replace(weight=part.weight)
        for number, part in enumerate(spec.dataset.parts)
    ]
    separate = spec.dataset.eval
    return JobData(train, None if separate is None else _find(session, separate, "dataset.eval"))


def list_uploads(spec: JobSpec) -> list[str]:
    """Return the ids of the uploaded training datasets of a job."""
    return [part.dataset for part in spec.dataset.parts if isinstance(part.dataset, str)]


def dataset_columns(spec: JobSpec) -> dict[str, str | None]:
    """Return the columns with the ids of uploaded datasets. Several training datasets are stored in a separate table."""
    train, separate = spec.dataset.train, spec.dataset.eval
    return {
        "train_dataset_id": train if isinstance(train, str) else None,
        "eval_dataset_id": separate if isinstance(separate, str) else None,
    }


def read_rows(session: Session, storage: Storage, spec: JobSpec) -> RowSample | None:
    """Return the row lengths of an epoch: counted ones if possible, otherwise estimates for a sample.

    Returns None unless all training datasets are uploaded.

    Call it before the transaction that stores the job, because it reads files.
    """
    found = [
        (datasets.find_dataset(session, part.dataset), part.weight)
        for part in spec.dataset.parts
        if isinstance(part.dataset, str)
    ]
    ready = [(dataset, weight) for dataset, weight in found if dataset is not None]
    if len(ready) < len(spec.dataset.parts):
        return None
    samples = [_read_lengths(session, storage, dataset, spec.model) for dataset, _ in ready]
    if not spec.dataset.is_mixed:
        return samples[0]
    rows = [_trained_rows(dataset) for dataset, _ in ready]
    uses = [used_rows(count, weight) for count, (_, weight) in zip(rows, ready, strict=True)]
    return mix_samples(samples, rows, uses)


def count_rows(spec: JobSpec, data: JobData) -> Counts:
    """Return the rows and steps of a job, without a sample. Raises NoTrainingRows."""
    separate = data.evaluation.dataset if data.evaluation else None
    eval_rows = _trained_rows(separate) if separate else None
    if any(each.dataset is None for each in data.train):
        return Counts(None, eval_rows, spec.training.max_steps, None, None)
    rows, held_out = data.rows, data.held_out(spec)
    if held_out is None or sum(rows) < 1:
        kind = NoTrainingRowsOfDataset if spec.dataset.is_mixed else NoTrainingRows
        raise kind(
            "dataset.eval_size",
            eval_size=spec.dataset.eval_size,
            rows=" + ".join(str(count) for count in rows),
        )
    train_rows = sum(
        used_rows(count - out, each.weight)
        for count, out, each in zip(rows, held_out, data.train, strict=True)
    )
    if spec.dataset.eval is None:
        eval_rows = sum(held_out)
    # Documents are concatenated and split at max_length, so the number of samples is unknown until they are tokenized.
    is_text = any("text" in each.dataset.forms for each in data.train if each.dataset)
    has_text = any("text" in dataset.forms for _, dataset in data.uploaded)
    has_cost = not has_text and eval_rows is not None
    return Counts(
        train_rows=train_rows,
        eval_rows=eval_rows,
        steps=spec.training.max_steps if is_text else spec.total_steps(train_rows),
        evaluation=evaluation_cost(spec, train_rows, eval_rows or 0) if has_cost else None,
        sample=None,
        is_text=is_text,
    )


def find_warnings(
    session: Session, spec: JobSpec, data: JobData, language: Language
) -> list[JobWarning]:
    """Return the warnings about the uploaded datasets of a job."""
    is_counted = all(each.dataset is not None for each in data.train)
    held_out = (data.held_out(spec) if is_counted else None) or [0] * len(data.train)
    train = [
        Used(each.param, each.dataset.id if each.dataset else None, rows)
        for each, rows in zip(data.train, held_out, strict=True)
    ]
    evaluation = None
    if data.evaluation is not None:
        separate = data.evaluation.dataset
        evaluation = Used(data.evaluation.param, separate.id if separate else None)
    warnings = find_job_warnings(session, train, evaluation, language)
    if not is_counted:
        return warnings
    left = [count - out for count, out in zip(data.rows, held_out, strict=True)]
    return warnings + find_unused(spec, [each.param for each in data.train], left, language)


def require_preference(spec: JobSpec, data: JobData, language: Language) -> None:
    """Raise InvalidField if rows contain rated answers and the job does not specify how to use them."""
    if spec.dataset.preference is not None:
        return
    for _, dataset in data.uploaded:
        rated = {form: dataset.forms[form] for form in RATING_FORMS if form in dataset.forms}
        if not rated:
            continue
        values = {"rows": sum(rated.values()), "dataset": dataset.id, "forms": ", ".join(rated)}
        error = {"type": FieldProblem.PREFERENCE_REQUIRED, "ctx": values, "input": None}
        code, message = field_message([error], language)
        raise InvalidField([FieldError(param="dataset.preference", code=code, message=message)])


def _read_lengths(session: Session, storage: Storage, dataset: Dataset, model: str) -> RowSample:
    counted = measurements.find_counts(session, dataset.id, model)
    if counted is not None:
        return take_sample(dataset.id, TokenCounts.model_validate(counted.counts))
    sample = read_sample(storage.path(dataset.path))
    review = reviews.find_review(session, dataset.id)
    if review is None:
        return sample
    return sample._replace(characters=(Characters.of(review.statistics),))


def _find(session: Session, source: DatasetSource, param: str) -> Source:
    if not isinstance(source, str):
        return Source(param, None)
    dataset = datasets.find_any(session, source)
    if dataset is None:
        raise UnknownDataset(param, dataset=source)
    require_ready(dataset, param)
    return Source(param, dataset)


def _trained_rows(dataset: Dataset) -> int:
    """Return the number of trainable rows. The worker skips the others before it holds out rows for evaluation."""
    features = RowFeatures.model_validate(dataset.features or {})
    return dataset.rows - features.untrained
