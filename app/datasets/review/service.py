"""Rules for reviews: when they are made, and what users see."""

from pathlib import Path

from app.datasets import store as datasets
from app.datasets.conversion.request import Limits
from app.datasets.readiness import require_ready
from app.datasets.review import store
from app.datasets.review.findings import Review
from app.datasets.review.origins import Origins, relocate
from app.datasets.review.process import review_file
from app.datasets.review.reviewer import Reviewed
from app.datasets.review.schemas import DatasetReview, DatasetWarning
from app.datasets.review.words import warning_message
from app.db.engine import Database, database_now
from app.db.ids import is_id
from app.errors.kinds import DatasetNotFound, DatasetNotReviewed
from app.storage.data_dir import Storage
from contracts.dataset.columns.mapping import Columns
from contracts.failure import Language


def review_upload(
    path: Path, rows: int, origins: Origins, columns: Columns, limits: Limits
) -> Reviewed | None:
    """Review the stored rows of an upload. Return None if that is not possible; the upload is then stored without a review."""
    reviewed = review_file(path, rows, limits)
    if reviewed is None:
        return None
    return Reviewed(relocate(reviewed.review, origins, columns.sources), reviewed.hashes)


def get_review(
    database: Database, storage: Storage, dataset_id: str, limits: Limits, language: Language
) -> DatasetReview:
    """Return a dataset's review. A dataset without one, which an earlier version stored, is reviewed first.

    Raises DatasetNotFound, DatasetValidating, DatasetFailed or DatasetNotReviewed.
    """
    if not is_id(dataset_id):
        raise DatasetNotFound(dataset=dataset_id[:100])
    with database.reading() as session:
        known = store.find_review(session, dataset_id)
        if known is not None:
            return view(known, language)
        dataset = datasets.find_any(session, dataset_id)
        if dataset is None:
            raise DatasetNotFound(dataset=dataset_id)
        require_ready(dataset)
        path, rows = storage.path(dataset.path), dataset.rows
        sources = (dataset.columns or {}).get("columns", {})
    try:
        reviewed = review_file(path, rows, limits)
    except FileNotFoundError:  # deleted in the meantime
        raise DatasetNotFound(dataset=dataset_id) from None
    if reviewed is None:
        raise DatasetNotReviewed(dataset=dataset_id)
    reviewed = Reviewed(relocate(reviewed.review, None, sources), reviewed.hashes)
    with database.writing() as session:
        if datasets.lock_dataset(session, dataset_id) is None:
            raise DatasetNotFound(dataset=dataset_id)
        store.insert_review(session, dataset_id, reviewed, database_now(session))
    return view(reviewed.review, language)


def view(review: Review, language: Language) -> DatasetReview:
    """Return a review as users see it."""
    return DatasetReview(
        reviewed_rows=review.reviewed_rows,
        compared_rows=review.compared_rows,
        warnings=[
            DatasetWarning(
                code=finding.code,
                rows=finding.rows,
                message=warning_message(finding, review.compared_rows, language),
                found=finding.found,
                places=finding.places,
            )
            for finding in review.findings
        ],
        statistics=review.statistics,
    )
