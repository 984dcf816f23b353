"""Rejects requests to use a dataset whose rows have not been checked."""

from app.db.tables import Dataset
from app.errors.kinds import DatasetFailed, DatasetValidating
from contracts.dataset.status import DatasetStatus


def require_ready(dataset: Dataset, param: str | None = None) -> None:
    """Raise DatasetValidating or DatasetFailed if the dataset is not ready."""
    if dataset.status is DatasetStatus.VALIDATING:
        raise DatasetValidating(param, dataset=dataset.id)
    if dataset.status is DatasetStatus.FAILED:
        raise DatasetFailed(param, dataset=dataset.id)
