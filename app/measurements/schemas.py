"""Token counts of a dataset as users see them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from contracts.base import Strict
from contracts.errands.measurement import RefusedRow, TokenBin
from contracts.values.hub_names import ModelName


class MeasurementBody(Strict):
    """Which model's tokenizer and chat template to use."""

    model: ModelName
    again: bool = False
    """Count again even if counts exist."""


class CutRows(BaseModel):
    """The effects of this `training.max_length`. They are interpolated between lengths that were counted exactly."""

    max_length: int
    rows_over: int
    """Conversations with more tokens."""
    answers_cut: int
    """Conversations that lose part of their trained answers."""
    dropped_rows: int
    """Conversations with no trained token left. A job skips them."""
    tokens: int
    """Remaining tokens, including those of documents."""
    trained_tokens: int
    """Remaining supervised tokens."""


class DatasetTokensView(BaseModel):
    """The lengths of a dataset's rows in tokens. Lengths are measured before anything is cut."""

    object: Literal["dataset.tokens"] = "dataset.tokens"
    dataset: str
    model: str
    """The model whose tokenizer was used; it has the same tokenizer and chat template as the requested model."""
    tokenizer: str
    """SHA-256 of the files of the tokenizer and the chat template, as in a model's `tokenizer`."""
    worker: str
    created_at: datetime
    seconds: float
    """How long counting took."""
    rows: int
    measured_rows: int
    """Number of rows that were read: all, or a random sample if the worker's time limit was reached. All other fields refer to these rows."""
    untrained_rows: int
    """Rows without anything to train on; no other field includes them."""
    refused_rows: int
    """Rows that the chat template rejects; no other field includes them. A job with such a row fails."""
    refused: list[RefusedRow]
    """The first rejected rows, at most 5."""
    conversations: int
    documents: int
    """Rows of plain text, which a job joins and splits at `training.max_length`."""
    tokens: int
    trained_tokens: int
    trained_share: float | None
    """Share of supervised tokens; null if there are no tokens."""
    mean: float
    shortest: int
    p50: int
    p90: int
    p95: int
    p99: int
    longest: int
    histogram: list[TokenBin]
    cut: CutRows
    """The effects of the requested `max_length`."""
    advised_max_length: int | None
    """The shortest length that cuts or drops fewer than 1 % of the conversations; null if there is none."""
