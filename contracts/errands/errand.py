"""Errands: short tasks, such as a preview, that a worker does alongside its attempts. Also the messages about them.

An errand needs no GPU and changes no job. A worker lists the kinds that it runs in its hello and in each claim, so that an
older worker never gets an errand that it does not recognize.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Tolerant
from contracts.data_spec import DatasetId
from contracts.dataset.conversation import Form
from contracts.errands.measurement import MeasureRequest, MeasureResult
from contracts.errands.reason import ErrandReason
from contracts.record import Count
from contracts.values.hub_names import ModelName, Revision

MOST_PREVIEWED_ROWS = 20
MOST_PREVIEWED_TOKENS = 32_768
"""Largest `max_length` of a preview."""
MOST_ROW_BYTES = 16 * 1024**2
"""Maximum total size of a preview's rows in bytes, as stored."""
MOST_RESULT_BYTES = 8 * 1024**2
"""Maximum size of an errand's result as JSON."""
MOST_TRIES = 2
"""Maximum number of workers that try an errand if each of them stops responding."""
MOST_WAIT_SECONDS = 30.0
"""Maximum time that the server holds a claim while there is no errand."""
MOST_NAMED_MODELS = 100_000
"""Maximum number of models that a claim names."""


class ErrandKind(StrEnum):
    """What an errand does."""

    PREVIEW = "preview"
    PREFETCH = "prefetch"
    MEASURE = "measure"
    IMPORT = "import"

    @property
    def unclaimed_seconds(self) -> float:
        """An errand that no worker claims within this time fails. A long one may first have to wait for others to finish."""
        return 60.0 if self is ErrandKind.PREVIEW else 6 * 3600.0


PREVIEW_REVISIONS = "preview_revision"
"""Listed with the kinds by workers whose previews support `revision`."""


class ErrandStatus(StrEnum):
    """The state of an errand."""

    QUEUED = "queued"
    RUNNING = "running"  # claimed by a worker whose lease has not expired
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the errand has ended."""
        return self not in {ErrandStatus.QUEUED, ErrandStatus.RUNNING}


class PreviewRequest(Tolerant):
    """Render rows of a dataset as a model reads them."""

    kind: Literal["preview"]
    dataset_id: DatasetId
    model: ModelName
    rows: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=MOST_PREVIEWED_ROWS)
    ]
    """Row numbers, starting at 0."""
    max_length: Annotated[int, Field(ge=8, le=MOST_PREVIEWED_TOKENS)]
    """Same as a job's `training.max_length`."""
    revision: Revision | None = None
    """Same as a job's `model_revision`."""


class PrefetchRequest(Tolerant):
    """Download a model from the hub into the worker's cache."""

    kind: Literal["prefetch"]
    model: ModelName
    revision: Revision | None = None


class ImportRequest(Tolerant):
    """Download a dataset from the hub, convert it to JSONL and send it to the server."""

    kind: Literal["import"]
    hub: ModelName
    config: Annotated[str, Field(max_length=200)] | None = None
    split: Annotated[str, Field(max_length=200)] = "train"
    revision: Revision | None = None
    format: Form | None = None
    columns: dict[str, str] = {}
    """`format` and `columns` are chosen as for an upload. Only the server uses them."""


ErrandRequest = Annotated[
    PreviewRequest | PrefetchRequest | MeasureRequest | ImportRequest,
    Field(discriminator="kind"),
]


class PreviewToken(Tolerant):
    """One token of a previewed row."""

    id: int
    text: str
    """The part of the rendered text that the token covers. The texts of all tokens joined together are the text of the row."""
    trained: bool
    """Whether the model learns to predict this token."""
    joined: bool = False
    """Whether this token completes a character that an earlier token began; the text of that token contains the whole character.
    Omitted if false."""


class PreviewRow(Tolerant):
    """One row as the model reads it."""

    row: int
    """Row number, starting at 0."""
    form: Form | None
    """Format of the row; null if it cannot be read."""
    truncated: bool
    """Whether tokens beyond `max_length` were cut."""
    dropped: bool
    """Whether a job skips this row, because it has no token to train on."""
    total_tokens: int
    """Number of tokens before truncation."""
    trained_tokens: int
    tokens: list[PreviewToken]
    error: str | None
    """Why the row cannot be trained on; a job with this row fails. In that case, there are no tokens."""


class PreviewResult(Tolerant):
    """The rows that a PreviewRequest asks for, in the order requested."""

    kind: Literal["preview"]
    chat_template: Literal["qwen2", "own", "plain"]
    """Same as a model's `chat_template`."""
    rows: Annotated[list[PreviewRow], Field(max_length=MOST_PREVIEWED_ROWS)]


class PrefetchResult(Tolerant):
    """A model that is now in the worker's hub cache."""

    kind: Literal["prefetch"]
    revision: Annotated[str, Field(max_length=100)]
    """Its commit."""
    bytes: Count


class ImportResult(Tolerant):
    """A dataset that the server has stored. The server itself sets this result once it has received the rows."""

    kind: Literal["import"]
    dataset_id: DatasetId
    revision: Annotated[str, Field(max_length=100)]
    """Its commit on the hub."""
    bytes: Count
    """Size of the JSONL."""


ErrandResult = Annotated[
    PreviewResult | PrefetchResult | MeasureResult | ImportResult,
    Field(discriminator="kind"),
]


class ErrandFailure(Tolerant):
    """Why an errand failed."""

    reason: ErrandReason
    detail: str = Field("", max_length=5000)
    """The worker's description, in English."""


class ErrandProgress(Tolerant):
    """Progress in bytes: of a download, or of the rows whose tokens are counted."""

    bytes_done: Count
    bytes_total: Count | None = None
    """Null until the hub has reported the sizes of the files."""


class ErrandClaimRequest(Tolerant):
    """A worker's request for an errand. The server may hold its response until there is one."""

    worker_id: str = Field(min_length=1, max_length=200)
    kinds: Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=20)]
    """The kinds that this worker runs."""
    models: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(max_length=MOST_NAMED_MODELS)
    ]
    """The models on this worker's disk."""
    wait_seconds: float = Field(0.0, ge=0, le=MOST_WAIT_SECONDS)


class PreviewedLine(Tolerant):
    """A row of a dataset, as the server stores it."""

    row: int
    """Row number, starting at 0."""
    line: str
    """JSON."""


class PreviewedLines(Tolerant):
    """The rows that a PreviewRequest asks for."""

    rows: list[PreviewedLine]


class PreviewTask(PreviewedLines):
    """The input of the process that renders a preview, including the limits that it imposes on itself."""

    model: Path
    """The model's directory."""
    max_length: int
    seconds: Annotated[int, Field(gt=0)]
    """Processor time."""
    memory_bytes: Annotated[int, Field(gt=0)]
    """Address space."""
    output_bytes: Annotated[int, Field(gt=0)]


class ErrandClaim(Tolerant):
    """An errand assigned to a worker. The worker sends the token with every later request about it."""

    errand_id: str
    token: str
    lease_seconds: float
    """If the worker is silent for this long, the server gives the errand to another worker."""
    limit_bytes: Count | None = None
    """Maximum size of the JSONL of an import; null from servers of earlier versions."""
    request: ErrandRequest


class ErrandBeat(Tolerant):
    """Renews the lease of an errand."""

    progress: ErrandProgress | None = None


class ErrandOutcome(Tolerant):
    """The end of an errand: exactly one of the two fields is set."""

    result: ErrandResult | None = None
    failure: ErrandFailure | None = None
