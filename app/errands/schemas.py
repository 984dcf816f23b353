"""Errands as users see them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from contracts.errand import ErrandKind, ErrandStatus
from contracts.errand_reason import ErrandReason


class ErrandProgressView(BaseModel):
    """Progress in bytes: of the model that is downloaded, or of the rows whose tokens are counted."""

    bytes_done: int
    bytes_total: int | None
    """Null until the hub has named the files' sizes."""


class ErrandError(BaseModel):
    """Why an errand failed."""

    code: ErrandReason
    message: str
    detail: str
    problems: list[str] = []
    """If the server rejected the rows of an import, all problems that were counted, each with its row."""


class ErrandSource(BaseModel):
    """The dataset on the hub that is imported."""

    hub: str
    config: str | None
    split: str
    revision: str | None
    """As requested; the commit once the import has succeeded."""


class ErrandView(BaseModel):
    """A short task of a worker: a preview of rows, a count of tokens, the download of a model, or the import of a dataset."""

    object: Literal["errand"] = "errand"
    id: str
    kind: ErrandKind
    status: ErrandStatus
    model: str | None
    """Null for an import."""
    dataset: str | None
    """The dataset of a preview or a count of tokens, or of an import that has succeeded."""
    source: ErrandSource | None
    """What is imported; null for other kinds."""
    revision: str | None
    """The commit, tag or branch: as requested, or the commit once the errand has succeeded."""
    worker: str | None
    """The worker that runs it or ran it last."""
    progress: ErrandProgressView | None
    error: ErrandError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
