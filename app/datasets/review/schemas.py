"""Reviews as users see them."""

from pydantic import BaseModel

from app.datasets.review.findings import Place, Statistics, WarningCode


class DatasetWarning(BaseModel):
    """A problem that does not prevent training."""

    code: WarningCode
    rows: int
    """Number of rows with the problem, among those reviewed or compared."""
    message: str
    """What the problem means and what to do, in the language of Accept-Language."""
    found: dict[str, int]
    """Number of rows per special token, kind of secret or script, at most 10 entries; empty for other warnings."""
    places: list[Place]
    """The first places, at most 5."""


class DatasetReview(BaseModel):
    """Warnings and statistics of a dataset."""

    reviewed_rows: int
    """Number of rows read; smaller than the dataset's if the review reached its time limit."""
    compared_rows: int
    """Number of rows compared for near duplicates and languages: all rows, or a sample of about 20,000 from a large dataset."""
    warnings: list[DatasetWarning]
    statistics: Statistics


class JobWarning(BaseModel):
    """A warning about the data of a job."""

    param: str
    """`dataset.train`, `dataset.eval`, or, for one of several training datasets, a path such as `dataset.train[1].dataset`."""
    code: str
    """The code of a dataset's warning, `evaluation_rows_in_training`, `held_out_copies`, `rows_in_several_datasets`, `weight_too_small` or `too_few_steps`."""
    rows: int
    message: str
