"""Rejects requests to use a dataset whose rows have not been checked."""

from app.db.tables import Dataset
from app.errors.kinds import DatasetFailed, DatasetValidating
from contracts.dataset.status import DatasetStatus

CHECKED_BYTES_PER_SECOND = 20_000_000
"""How fast a busy server checks rows; an idle one is about three times as fast (docs/benchmarks.md)."""
FEWEST_SECONDS, MOST_SECONDS = 5, 60
"""Bounds of Retry-After. OpenAI's client ignores a longer one."""


def require_ready(dataset: Dataset, param: str | None = None) -> None:
    """Raise DatasetValidating or DatasetFailed if the dataset is not ready.

    OpenAI's client repeats a request only twice, so Retry-After is the time that the check may take.
    """
    if dataset.status is DatasetStatus.VALIDATING:
        error = DatasetValidating(param, dataset=dataset.id)
        seconds = dataset.upload_bytes // CHECKED_BYTES_PER_SECOND
        error.headers["Retry-After"] = str(min(max(seconds, FEWEST_SECONDS), MOST_SECONDS))
        raise error
    if dataset.status is DatasetStatus.FAILED:
        raise DatasetFailed(param, dataset=dataset.id)
