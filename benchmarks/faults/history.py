"""History: what was asked of a service, what was seen of it, and what its database holds in the end.

Plain data, so that the checker is a pure function of it. Times are seconds of time.monotonic() in the recording process.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.record import Record, decode_line


@dataclass(frozen=True)
class Sighting:
    """A training process that lived at a moment."""

    at: float
    pid: int
    worker: str
    """The worker whose device it holds."""
    attempt_id: str
    is_stopped: bool = False
    """Held by SIGSTOP."""


@dataclass(frozen=True)
class Observation:
    """What the database said of an attempt at a moment."""

    at: float
    attempt_id: str
    status: str
    acked_seq: int
    seen_seq: int


@dataclass(frozen=True)
class Cut:
    """A time in which a worker could not hear that it was superseded: stopped, or cut off."""

    worker: str
    began: float
    ended: float


@dataclass(frozen=True)
class Point:
    """One record: what was written, as JSON without its place and time."""

    seq: int
    type: str
    step: int | None
    content: str

    @classmethod
    def of(cls, record: Record) -> "Point":
        """Return the point of a record as the training process wrote it."""
        return cls.stored(json.loads(record.model_dump_json()))

    @classmethod
    def stored(cls, fields: dict[str, Any]) -> "Point":
        """Return the point of a record's fields."""
        rest = {key: fields[key] for key in fields if key not in {"seq", "type", "step", "at"}}
        content = json.dumps(rest, sort_keys=True)
        return cls(fields["seq"], fields["type"], fields.get("step"), content)

    @property
    def is_loss(self) -> bool:
        """Whether it is a step's loss."""
        return self.type == "metric" and "loss" in json.loads(self.content)["values"]


@dataclass(frozen=True)
class JobRow:
    """A job at the end."""

    id: str
    status: str
    error: str | None
    ends: int
    """Final events: succeeded, failed, cancelled."""
    curve: tuple[int, ...] = ()
    """Steps of the loss history that users see, in its order."""
    total_steps: int | None = None


@dataclass(frozen=True)
class AttemptRow:
    """An attempt at the end."""

    id: str
    job_id: str
    number: int
    worker: str
    status: str
    started_at: datetime
    synced_at: datetime
    ended_at: datetime | None
    acked_seq: int
    reason: str | None = None
    """Why it failed."""
    stored: tuple[Point, ...] = ()
    """Its records, by seq."""


@dataclass
class History:
    """Everything the checker looks at."""

    acknowledged: list[str] = field(default_factory=list)
    """Jobs that a POST has answered 201 for."""
    expected: dict[str, str] = field(default_factory=dict)
    """How a job has to end, if not succeeded."""
    produced: dict[str, list[Point]] = field(default_factory=dict)
    """Whole lines of each attempt's records.jsonl."""
    sightings: list[Sighting] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    """Command lines of processes that are left when all is over."""


def read_points(content: bytes) -> list[Point]:
    """Return the whole records of a records.jsonl; a torn last line is none."""
    return [Point.of(decode_line(line)) for line in content.split(b"\n")[:-1]]
