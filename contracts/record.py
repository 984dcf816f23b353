"""Records: an attempt's append-only lines, in `records.jsonl` and in `sync`. (attempt, seq) identifies a record.

A line is a JSON object whose last member, `crc32`, is a checksum of the rest of the line. It reveals incomplete or
damaged lines when the file is read.
"""

import zlib
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from contracts.base import Tolerant, UtcDatetime
from contracts.job import Phase

LogLevel = Literal["debug", "info", "warning", "error"]

LARGEST_NUMBER = 2**53
"""Largest step, count or sequence number of a record; JavaScript rounds larger integers."""
Count = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
"""A step or a count, starting at 0."""
Ordinal = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
"""A position in a sequence, starting at 1."""


def _is_none(value: object) -> bool:
    return value is None


class _Record(Tolerant):
    seq: Ordinal
    """Position among the attempt's records, from 1, without gaps."""
    at: UtcDatetime


class MetricRecord(_Record):
    """Named numbers at a step. A training step has loss, token_accuracy, learning_rate, grad_norm, epoch, tokens and seconds."""

    type: Literal["metric"] = "metric"
    step: Count
    values: dict[str, float]
    """`loss`: nats per supervised token over the effective batch · `token_accuracy`: fraction of the supervised tokens that
    have the largest logit, before the update · `learning_rate`: the rate used in this step ·
    `grad_norm`: global L2 norm before clipping · `epoch`: passes so far, as a decimal · `tokens`: supervised tokens ·
    `seconds`: duration of the step until the device has finished."""


class EvalRecord(_Record):
    """One complete evaluation."""

    type: Literal["eval"] = "eval"
    step: Count
    """Optimizer steps before the evaluation; 0 is the untrained base model."""
    loss: float
    """Nats per supervised token over the whole evaluation split."""
    tokens: int = Field(ge=0)
    """Number of supervised tokens in the split."""
    token_accuracy: float | None = Field(None, exclude_if=_is_none)
    """Fraction of them to which the model gives the largest logit, from 0 to 1; null from workers of earlier versions."""
    seconds: float = 0.0


class CheckpointRecord(_Record):
    """A complete checkpoint on the worker's disk."""

    type: Literal["checkpoint"] = "checkpoint"
    step: Count
    name: str
    bytes: int = 0


class PhaseRecord(_Record):
    """The attempt has entered a phase."""

    type: Literal["phase"] = "phase"
    phase: Phase
    step: Count = 0
    total_steps: Count | None = None
    """Number of steps in the complete run; null until known."""
    resumed_from: Ordinal | None = Field(None, exclude_if=_is_none)
    """Number of the attempt whose checkpoint this one resumed from; null if it started from the first step."""
    resumed_step: Count | None = Field(None, exclude_if=_is_none)
    """Step of that checkpoint."""


class LogRecord(_Record):
    """A message for users."""

    type: Literal["log"] = "log"
    level: LogLevel = "info"
    message: str
    step: Count | None = None
    data: dict[str, Any] = {}


def printed_line(level: str, message: str) -> str:
    """Return the line that the training process prints when it writes a log record; the page also builds it (log.tsx)."""
    return f"[{level}] {message}"


class GapRecord(_Record):
    """Metrics and evaluations omitted because the spool of records on the worker's disk is nearly full."""

    type: Literal["gap"] = "gap"
    first_step: Count
    last_step: Count
    count: int = Field(ge=1)
    """Number of records omitted since the previous record."""
    number: Ordinal = 1
    """Position among the attempt's gaps, from 1."""
    total: Ordinal
    """Number of records omitted so far in this attempt."""


class OtherRecord(_Record):
    """A record type that this version does not know. It is stored but not interpreted."""

    type: str


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    # Not a set, because the value may be unhashable.
    known = ("metric", "eval", "checkpoint", "phase", "log", "gap")
    return kind if kind in known else "other"


Record = Annotated[
    Annotated[MetricRecord, Tag("metric")]
    | Annotated[EvalRecord, Tag("eval")]
    | Annotated[CheckpointRecord, Tag("checkpoint")]
    | Annotated[PhaseRecord, Tag("phase")]
    | Annotated[LogRecord, Tag("log")]
    | Annotated[GapRecord, Tag("gap")]
    | Annotated[OtherRecord, Tag("other")],
    Discriminator(_kind),
]
_ADAPTER: TypeAdapter[Record] = TypeAdapter(Record)
_MARK = b',"crc32":"'


class DamagedLine(ValueError):
    """A line of records.jsonl is incomplete or altered."""


def encode_line(record: Record) -> bytes:
    """Return the record as a checksummed line, including the newline."""
    body = record.model_dump_json().encode()
    return body[:-1] + _MARK + f"{zlib.crc32(body):08x}".encode() + b'"}\n'


def decode_line(line: bytes) -> Record:
    """Parse a line. Raises DamagedLine if it is incomplete or its checksum is wrong."""
    text = line.rstrip(b"\n")
    head, mark, tail = text.rpartition(_MARK)
    body = head + b"}"
    if not mark or not text.endswith(b'"}') or tail[:-2] != f"{zlib.crc32(body):08x}".encode():
        raise DamagedLine(f"not a complete record: {text[:80]!r}")
    return _ADAPTER.validate_json(body)
