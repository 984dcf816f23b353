"""Token counts of a dataset with a model's own tokenizer and chat template: the errand that computes them, and the results."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Tolerant
from contracts.data_spec import DatasetId
from contracts.record import Count
from contracts.values.hub_names import ModelName

MOST_POINTS = 500
MOST_BINS = 50
MOST_SAMPLED_ROWS = 512
SHOWN_REFUSALS = 5
MOST_ERROR_CHARACTERS = 500
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LengthPoint(Tolerant):
    """What a job with this `training.max_length` trains on. Documents are not counted, because they are not truncated."""

    max_length: Count
    rows_over: Count
    """Conversations with more tokens than this."""
    answers_cut: Count
    """Conversations that lose part of the answers that are trained on."""
    dropped_rows: Count
    """Conversations with no token left to train on. A job skips them."""
    tokens: Count
    """Remaining tokens."""
    trained_tokens: Count
    """Remaining tokens that count towards the loss."""


class TokenBin(Tolerant):
    """A bar of the histogram: rows with at least `from_tokens` and fewer than `to_tokens` tokens."""

    from_tokens: Count
    to_tokens: Count
    rows: Count


class RefusedRow(Tolerant):
    """A row that the model's chat template rejects. A job that uses it fails."""

    row: Count
    """Row number, starting at 0."""
    error: Annotated[str, Field(max_length=MOST_ERROR_CHARACTERS)]


class SampledRow(Tolerant):
    """The length of one row in tokens."""

    tokens: Count
    trained: Count


class TokenCounts(Tolerant):
    """The lengths of a dataset's rows in tokens. Lengths are measured before truncation."""

    rows: Count
    """Rows of the dataset."""
    measured_rows: Count
    """Rows that were read: all of them, or a random sample if time ran out. All other counts refer to these rows."""
    untrained_rows: Count
    """Rows without anything to train on. A job skips them, and no other count includes them."""
    refused_rows: Count
    refused: Annotated[list[RefusedRow], Field(max_length=SHOWN_REFUSALS)]
    """The first rejected rows."""
    conversations: Count
    documents: Count
    """Rows of plain text. A job joins them and splits them into samples of `training.max_length` tokens."""
    document_tokens: Count
    """The model is trained on all of these tokens."""
    tokens: Count
    trained_tokens: Count
    mean: Annotated[float, Field(ge=0)]
    shortest: Count
    p50: Count
    p90: Count
    p95: Count
    p99: Count
    longest: Count
    histogram: Annotated[list[TokenBin], Field(max_length=MOST_BINS)]
    points: Annotated[list[LengthPoint], Field(max_length=MOST_POINTS)]
    """In ascending order of `max_length`. The last one is the length of the longest conversation, at which nothing is truncated."""
    sample: Annotated[list[SampledRow], Field(max_length=MOST_SAMPLED_ROWS)]
    """Evenly spaced rows in the order of the file, and the longest one."""
    seconds: Annotated[float, Field(ge=0)]

    @property
    def is_complete(self) -> bool:
        """Whether all rows were read."""
        return self.measured_rows == self.rows


class MeasureRequest(Tolerant):
    """Count the tokens of a dataset's rows."""

    kind: Literal["measure"]
    dataset_id: DatasetId
    sha256: Sha256
    """SHA-256 of the dataset as the server stores it."""
    model: ModelName


class MeasureTask(Tolerant):
    """The input of the process that counts, including the limits that it imposes on itself."""

    data: Path
    """The rows as JSONL."""
    model: Path
    """The model's directory."""
    tokenizer: Sha256
    """Copied into the result."""
    progress: Path
    """The file in which the process reports the bytes that it has read."""
    seconds: Annotated[int, Field(gt=0)]
    """Time after which it stops and reports the rows measured so far, a random sample."""
    cpu_seconds: Annotated[int, Field(gt=0)]
    """Processor time after which the kernel kills it."""
    memory_bytes: Annotated[int, Field(gt=0)]
    """Limit on the address space."""
    output_bytes: Annotated[int, Field(gt=0)]


class MeasureResult(Tolerant):
    """The token counts of a dataset."""

    kind: Literal["measure"]
    tokenizer: Sha256
    """Identity of the tokenizer and the chat template: a hash of their files (ModelFacts.tokenizer)."""
    counts: TokenCounts
