"""Errands as users see them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from contracts.errands.errand import ErrandKind, ErrandStatus
from contracts.errands.reason import ErrandReason


class ErrandProgressView(BaseModel):
    """Progress in bytes: of the download, or of the rows whose tokens are being counted."""

    bytes_done: int
    bytes_total: int | None
    """Null until the hub has reported the files' sizes."""


class ErrandError(BaseModel):
    """Why an errand failed."""

    code: ErrandReason
    message: str
    detail: str
    problems: list[str] = []
    """If the server rejected the rows of an import, all problems found before the check stopped, each with its row."""


class ErrandSource(BaseModel):
    """The dataset on the hub that is being imported."""

    hub: str
    config: str | None
    split: str
    revision: str | None
    """The requested revision; once the import has succeeded, the commit."""


class ErrandView(BaseModel):
    """A short task of a worker: a preview of rows, a token count, a model download, or a dataset import."""

    object: Literal["errand"] = "errand"
    id: str
    kind: ErrandKind
    status: ErrandStatus
    model: str | None
    """Null for an import."""
    dataset: str | None
    """The dataset of a preview or a token count, or the result of an import that has succeeded."""
    source: ErrandSource | None
    """The source of an import; null for other kinds."""
    revision: str | None
    """The requested commit, tag or branch; once the errand has succeeded, the commit."""
    worker: str | None
    """The worker that is running the errand, or the last one that ran it."""
    progress: ErrandProgressView | None
    error: ErrandError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
