"""Datasets as users see them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from contracts.dataset.features import RowFeatures


class ChosenColumns(BaseModel):
    """The choice made at upload."""

    format: str | None
    columns: dict[str, str]
    """Name of the column in the file by the name that the format knows."""


class DatasetView(BaseModel):
    """A dataset as users see it."""

    object: Literal["dataset"] = "dataset"
    id: str
    filename: str
    rows: int
    bytes: int
    """Size of the uploaded file."""
    sha256: str
    """Hash of the uploaded file."""
    forms: dict[str, int]
    """Number of rows per format (alpaca, prompt, messages, sharegpt, text, preference, kto)."""
    features: RowFeatures | None
    """Number of rows that need something special of a model's chat template; null for datasets of earlier versions."""
    columns: ChosenColumns | None
    """The format and columns that were chosen at upload; null if each row's own columns determine its format."""
    created_at: datetime


class Turn(BaseModel):
    """One turn of a previewed row."""

    role: str
    """`system`, `developer`, `user`, `assistant` or `tool`; empty for a row of plain text."""
    content: str
    reasoning_content: str | None = None
    tool_calls: list[str] | None = None
    """Each call as `name({arguments})`."""
    trained: bool | None = None
    """Whether the model learns this turn; null for turns that are never learned."""


class Conversation(BaseModel):
    """A previewed row."""

    messages: list[Turn]


class DatasetDetail(DatasetView):
    """One dataset, with its first rows."""

    preview: list[Conversation]
    """As used for training; long text is truncated."""


class Validation(BaseModel):
    """What a file would become; nothing is stored."""

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


class Deleted(BaseModel):
    """A deleted dataset."""

    object: Literal["dataset"] = "dataset"
    id: str
    deleted: Literal[True] = True
