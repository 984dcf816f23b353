"""Errands as users see them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from contracts.errand import ErrandKind, ErrandReason, ErrandStatus


class ErrandProgressView(BaseModel):
    """How much is done: bytes of a model that is downloaded, or of the rows whose tokens are counted."""

    bytes_done: int
    bytes_total: int | None
    """Null until the hub has named the files' sizes."""


class ErrandError(BaseModel):
    """Why an errand failed."""

    code: ErrandReason
    message: str
    detail: str


class ErrandView(BaseModel):
    """A short task of a worker: a preview of rows, a count of tokens, or the download of a model."""

    object: Literal["errand"] = "errand"
    id: str
    kind: ErrandKind
    status: ErrandStatus
    model: str
    dataset: str | None
    """The dataset of a preview or a count of tokens."""
    revision: str | None
    """The commit, tag or branch of a download: as requested, and the commit when it has succeeded."""
    worker: str | None
    """The worker that runs it or ran it last."""
    progress: ErrandProgressView | None
    error: ErrandError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
