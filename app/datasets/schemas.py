"""Datasets as users see them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from app.datasets.review.schemas import DatasetReview
from app.errors.base import ErrorDetail
from contracts.dataset.features import RowFeatures
from contracts.dataset.status import DatasetStatus


class ChosenColumns(BaseModel):
    """The choice made at upload."""

    format: str | None
    columns: dict[str, str]
    """Maps the column names that the format expects to the names in the file."""


class DatasetOrigin(BaseModel):
    """Where an imported dataset comes from."""

    hub: str
    config: str | None
    split: str
    revision: str
    """The commit that was imported."""


class CheckProgress(BaseModel):
    """How much of a large file has been checked."""

    bytes: int
    """Bytes read so far, out of the dataset's `bytes`. Tables and compressed files are not read at an even pace."""
    rows: int


class DatasetView(BaseModel):
    """A dataset as users see it."""

    object: Literal["dataset"] = "dataset"
    id: str
    status: DatasetStatus
    """Jobs can use a dataset only if it is `ready`. A large file is first `validating`, and `failed` if it is rejected."""
    progress: CheckProgress | None = None
    """Null unless the dataset is `validating`."""
    failure: ErrorDetail | None = None
    """Why the dataset `failed`: the error that the upload of a small file would have returned; otherwise null."""
    filename: str
    rows: int
    """0 until the dataset is `ready`."""
    bytes: int
    """Size of the uploaded file."""
    sha256: str
    """Hash of the uploaded file."""
    forms: dict[str, int]
    """Number of rows per format (alpaca, prompt, messages, sharegpt, text, preference, kto)."""
    features: RowFeatures | None
    """Number of rows that need each special feature of the chat template; null for datasets stored by earlier versions."""
    columns: ChosenColumns | None
    """The format and columns chosen at upload; null if each row's columns determine its format."""
    source: DatasetOrigin | None
    """The dataset on the hub from which this one was first imported; null for uploads."""
    created_at: datetime


class Turn(BaseModel):
    """A turn of a previewed row."""

    role: str
    """`system`, `developer`, `user`, `assistant` or `tool`; empty for a row of plain text."""
    content: str
    reasoning_content: str | None = None
    tool_calls: list[str] | None = None
    """Each call as `name({arguments})`."""
    trained: bool | None = None
    """Whether the model is trained on this turn; null for turns that are never trained on."""


class Conversation(BaseModel):
    """A previewed row."""

    messages: list[Turn]


class CountedTokens(BaseModel):
    """A tokenizer that has been used to count the tokens of a dataset. `GET /v1/datasets/{id}/tokens` returns the counts."""

    model: str
    tokenizer: str
    """As in a model's `tokenizer`."""
    created_at: datetime


class DatasetDetail(DatasetView):
    """One dataset, with its first rows."""

    preview: list[Conversation]
    """The first rows, in the form used for training; long text is truncated. Empty until the dataset is `ready`."""
    review: DatasetReview | None
    """Warnings and statistics; null if the dataset is not `ready` or has no review.
    `GET /v1/datasets/{id}/review` creates a missing review."""
    token_counts: list[CountedTokens]
    """The tokenizers that have been used to count the tokens, newest first."""
    problems: list[str] = []
    """If the dataset `failed`, all problems found before the check stopped, each with its file, row and line."""


class Validation(BaseModel):
    """The dataset that a file would become. Nothing is stored."""

    object: Literal["dataset_validation"] = "dataset_validation"
    filename: str
    rows: int
    bytes: int
    """Size of the file."""
    sha256: str
    """Hash of the file."""
    forms: dict[str, int]
    """As in Dataset."""
    features: RowFeatures
    """As in Dataset."""
    preview: list[Conversation]
    """As in DatasetDetail."""
    review: DatasetReview | None
    """As in DatasetDetail; null if the rows could not be reviewed within the limits."""


class Deleted(BaseModel):
    """A deleted dataset."""

    object: Literal["dataset"] = "dataset"
    id: str
    deleted: Literal[True] = True
