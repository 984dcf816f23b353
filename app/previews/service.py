"""Rules for previews: which rows they contain, and which workers can render them."""

from collections.abc import Sequence

from app.datasets import service as datasets
from app.datasets import store as dataset_rows
from app.db.engine import Database
from app.db.tables import Errand
from app.errands import service as errands
from app.errands.able_workers import require_worker
from app.errors.kinds import (
    DatasetNotFound,
    PreviewFailed,
    PreviewRowNotFound,
    PreviewUnavailable,
)
from contracts.errands.errand import PREVIEW_REVISIONS, ErrandKind, PreviewRequest
from contracts.failure import Language


def request_preview(
    database: Database,
    dataset_id: str,
    model: str,
    *,
    rows: Sequence[int] | None,
    first: int,
    max_length: int,
    revision: str | None = None,
    language: Language,
) -> Errand:
    """Return the errand that renders these rows; identical requests share one.

    Raises DatasetNotFound, PreviewRowNotFound, ModelNotInstalled or WorkersTooOld.
    """
    with database.reading() as session:
        count = datasets.count_rows(session, dataset_id)
        chosen = list(range(min(first, count))) if rows is None else list(dict.fromkeys(rows))
        for row in chosen:
            if row >= count:
                raise PreviewRowNotFound("rows", dataset=dataset_id, row=row, count=count)
        request = PreviewRequest(
            kind="preview",
            dataset_id=dataset_id,
            model=model,
            rows=chosen,
            max_length=max_length,
            revision=revision,
        )
        errand = errands.find_answer(session, request)
        if errand is not None:
            return errand
        kind = ErrandKind.PREVIEW if revision is None else PREVIEW_REVISIONS
        require_worker(session, kind, model, language)
    with database.writing() as session:
        if dataset_rows.lock_dataset(session, dataset_id) is None:
            raise DatasetNotFound(dataset=dataset_id)
        return errands.create_errand(session, request)


def read_preview(
    database: Database, errand_id: str, dataset_id: str, language: Language
) -> tuple[Errand, bytes]:
    """Return the errand, and its PreviewResult as JSON, which is empty until the errand has ended.

    Raises PreviewFailed, PreviewUnavailable, or DatasetNotFound if the dataset was deleted in the meantime, along with its errands.
    """
    with database.reading() as session:
        datasets.count_rows(session, dataset_id)
        errand = errands.get_errand(session, errand_id)
        failure = errands.find_failure(errand)
        if failure is not None:
            kind = PreviewUnavailable if failure.reason.is_temporary else PreviewFailed
            problem = failure.reason.message(language)
            raise kind("model", model=errand.model, problem=problem, detail=failure.detail)
        return errand, errands.read_result(session, errand_id) or b""
