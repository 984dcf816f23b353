"""Rules for measurements: which counts apply to a model, and when a worker counts the tokens."""

from sqlalchemy.orm import Session

from app.datasets import store as datasets
from app.datasets.readiness import require_ready
from app.datasets.tokens.lengths import advise_length, at_length
from app.datasets.tokens.store import find_tokens
from app.db.engine import Database
from app.db.ids import is_id
from app.db.measurement_tables import DatasetTokens
from app.db.tables import Dataset
from app.errands import service as errands
from app.errands.able_workers import require_worker
from app.errands.schemas import ErrandView
from app.errors.kinds import (
    DatasetNotFound,
    DatasetNotMeasured,
    MeasurementFailed,
    MeasurementUnavailable,
)
from app.measurements.schemas import CutRows, DatasetTokensView, MeasurementBody
from app.models import service as models
from contracts.errands.errand import ErrandKind
from contracts.errands.measurement import MeasureRequest, TokenCounts
from contracts.failure import Language

Answer = DatasetTokensView | ErrandView
"""A dataset's counts, or the errand that is producing them."""


def find_counts(session: Session, dataset_id: str, model: str) -> DatasetTokens | None:
    """Return a dataset's counts with the tokenizer that the model has on the workers, or None."""
    return find_tokens(session, dataset_id, model, models.list_tokenizers(session, model))


def request_measurement(
    database: Database, dataset_id: str, body: MeasurementBody, max_length: int, language: Language
) -> Answer:
    """Return the counts if they exist, otherwise the errand that produces them; identical requests share one.

    Raises DatasetNotFound, DatasetValidating, DatasetFailed, ModelNotInstalled, WorkersTooOld or TooManyErrands.
    """
    with database.reading() as session:
        dataset = _get_ready(session, dataset_id)
        found = None if body.again else find_counts(session, dataset_id, body.model)
        if found is not None:
            return _view(found, max_length)
        request = _request(dataset, body.model)
        require_worker(session, ErrandKind.MEASURE, body.model, language)
    with database.writing() as session:
        if datasets.lock_dataset(session, dataset_id) is None:
            raise DatasetNotFound(dataset=dataset_id)
        return errands.view(session, errands.create_errand(session, request), language)


def get_measurement(
    session: Session, dataset_id: str, model: str, max_length: int, language: Language
) -> Answer:
    """Return the counts, or the errand that is producing them.

    Raises DatasetNotFound, DatasetValidating, DatasetFailed, DatasetNotMeasured, MeasurementFailed or MeasurementUnavailable.
    """
    dataset = _get_ready(session, dataset_id)
    found = find_counts(session, dataset_id, model)
    if found is not None:
        return _view(found, max_length)
    errand = errands.find_answer(session, _request(dataset, model))
    if errand is not None and not errand.status.is_final:
        return errands.view(session, errand, language)
    failure = None if errand is None else errands.find_failure(errand)
    if failure is None:
        raise DatasetNotMeasured("model", dataset=dataset_id, model=model)
    kind = MeasurementUnavailable if failure.reason.is_temporary else MeasurementFailed
    problem = failure.reason.message(language)
    raise kind("model", model=model, problem=problem, detail=failure.detail)


def _get_ready(session: Session, dataset_id: str) -> Dataset:
    dataset = datasets.find_any(session, dataset_id) if is_id(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(dataset=dataset_id[:100])
    require_ready(dataset)
    return dataset


def _request(dataset: Dataset, model: str) -> MeasureRequest:
    return MeasureRequest(kind="measure", dataset_id=dataset.id, sha256=dataset.sha256, model=model)


def _view(found: DatasetTokens, max_length: int) -> DatasetTokensView:
    counts = TokenCounts.model_validate(found.counts)
    cut = at_length(counts, max_length)
    shown = counts.model_dump(exclude={"points", "sample", "document_tokens"})
    return DatasetTokensView(
        dataset=found.dataset_id,
        model=found.model,
        tokenizer=found.tokenizer,
        worker=found.worker_id,
        created_at=found.created_at,
        trained_share=counts.trained_tokens / counts.tokens if counts.tokens else None,
        cut=CutRows(
            max_length=max_length,
            rows_over=round(cut.rows_over),
            answers_cut=round(cut.answers_cut),
            dropped_rows=round(cut.dropped_rows),
            tokens=round(cut.tokens) + counts.document_tokens,
            trained_tokens=round(cut.trained_tokens) + counts.document_tokens,
        ),
        advised_max_length=advise_length(counts),
        **shown,
    )
