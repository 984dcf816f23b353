"""Records: the append-only lines of an attempt, in `records.jsonl` and in `sync`. (attempt, seq) is a record's key.

A line is one JSON object whose last member, `crc32`, is the checksum of the line without it, so that a torn or
damaged line is detected when the file is read.
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
"""A step or a count, from 0."""
Ordinal = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
"""A position in a sequence, from 1."""


def _is_none(value: object) -> bool:
    return value is None


class _Record(Tolerant):
    seq: Ordinal
    """Position among the attempt's records, from 1, without gaps."""
    at: UtcDatetime


class MetricRecord(_Record):
    """Named numbers at a step. A training step has loss, learning_rate, grad_norm, epoch, tokens and seconds."""

    type: Literal["metric"] = "metric"
    step: Count
    values: dict[str, float]
    """`loss`: nats per supervised token over the effective batch · `learning_rate`: the rate this step used ·
    `grad_norm`: global L2 norm before clipping · `epoch`: passes so far, as a decimal · `tokens`: supervised tokens ·
    `seconds`: duration of the step, until the device has finished it."""


class EvalRecord(_Record):
    """One complete evaluation."""

    type: Literal["eval"] = "eval"
    step: Count
    """Optimizer steps before the evaluation; 0 is the untrained base."""
    loss: float
    """Nats per supervised token over the whole evaluation split."""
    tokens: int = Field(ge=0)
    """Number of supervised tokens in the split."""
    seconds: float = 0.0


class CheckpointRecord(_Record):
    """A checkpoint that is complete on the worker's disk."""

    type: Literal["checkpoint"] = "checkpoint"
    step: Count
    name: str
    bytes: int = 0


class PhaseRecord(_Record):
    """The attempt enters a phase."""

    type: Literal["phase"] = "phase"
    phase: Phase
    step: Count = 0
    total_steps: Count | None = None
    """Number of steps in the whole run, once known."""
    resumed_from: Ordinal | None = Field(None, exclude_if=_is_none)
    """Number of the attempt from whose checkpoint this one resumed; null if it started at the first step."""
    resumed_step: Count | None = Field(None, exclude_if=_is_none)
    """Step of that checkpoint."""


class LogRecord(_Record):
    """A message for users."""

    type: Literal["log"] = "log"
    level: LogLevel = "info"
    message: str
    step: Count | None = None
    data: dict[str, Any] = {}


class GapRecord(_Record):
    """Metrics and evaluations omitted because the spool of records on the worker's disk is nearly full."""

    type: Literal["gap"] = "gap"
    first_step: Count
    last_step: Count
    count: int = Field(ge=1)
    """Records omitted since the previous record."""
    number: Ordinal = 1
    """Position among the attempt's gaps, from 1."""
    total: Ordinal
    """Records omitted so far, over all gaps of this attempt."""


class OtherRecord(_Record):
    """A record of a kind that this version does not know. It is stored but not interpreted."""

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
    """A line of records.jsonl is torn or altered."""


def encode_line(record: Record) -> bytes:
    """Return the record as one checksummed line, newline included."""
    body = record.model_dump_json().encode()
    return body[:-1] + _MARK + f"{zlib.crc32(body):08x}".encode() + b'"}\n'


def decode_line(line: bytes) -> Record:
    """Read one line. Raises DamagedLine if it is torn or its checksum is wrong."""
    text = line.rstrip(b"\n")
    head, mark, tail = text.rpartition(_MARK)
    body = head + b"}"
    if not mark or not text.endswith(b'"}') or tail[:-2] != f"{zlib.crc32(body):08x}".encode():
        raise DamagedLine(f"not a complete record: {text[:80]!r}")
    return _ADAPTER.validate_json(body)
