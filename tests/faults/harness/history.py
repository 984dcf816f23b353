"""History: the requests to a service, the observations during the run, and the final content of its database.

The history is plain data, which lets the checker be a pure function. Times are values of time.monotonic() in the
recording process, in seconds.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.record import Record, decode_line


@dataclass(frozen=True)
class Sighting:
    """A training process that was alive at a point in time."""

    at: float
    pid: int
    worker: str
    """The worker whose device it holds."""
    attempt_id: str
    is_stopped: bool = False
    """Suspended by SIGSTOP."""


@dataclass(frozen=True)
class Observation:
    """The database row of an attempt at a point in time."""

    at: float
    attempt_id: str
    status: str
    acked_seq: int
    seen_seq: int


@dataclass(frozen=True)
class Cut:
    """A period in which a worker could not detect that it had been superseded, because it was suspended or cut off."""

    worker: str
    began: float
    ended: float


@dataclass(frozen=True)
class Point:
    """One record. Its content as JSON excludes its position and time."""

    seq: int
    type: str
    step: int | None
    content: str

    @classmethod
    def of(cls, record: Record) -> "Point":
        """Return the point for a record that the training process wrote."""
        return cls.stored(json.loads(record.model_dump_json()))

    @classmethod
    def stored(cls, fields: dict[str, Any]) -> "Point":
        """Return the point for the fields of a stored record."""
        rest = {key: fields[key] for key in fields if key not in {"seq", "type", "step", "at"}}
        content = json.dumps(rest, sort_keys=True)
        return cls(fields["seq"], fields["type"], fields.get("step"), content)

    @property
    def is_loss(self) -> bool:
        """Whether the record holds the loss of a step."""
        return self.type == "metric" and "loss" in json.loads(self.content)["values"]


@dataclass(frozen=True)
class JobRow:
    """A job at the end of the run."""

    id: str
    status: str
    error: str | None
    ends: int
    """Number of final events: succeeded, failed, cancelled."""
    curve: tuple[int, ...] = ()
    """Steps of the loss history that users see, in order."""
    total_steps: int | None = None


@dataclass(frozen=True)
class AttemptRow:
    """An attempt at the end of the run."""

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
    """Its stored records, in the order of their seq."""


@dataclass
class History:
    """Everything that the checker examines."""

    acknowledged: list[str] = field(default_factory=list)
    """Ids of the jobs whose POST returned 201."""
    expected: dict[str, str] = field(default_factory=dict)
    """Expected final status by job id, where it is not `succeeded`."""
    produced: dict[str, list[Point]] = field(default_factory=dict)
    """Complete lines of each attempt's records.jsonl."""
    sightings: list[Sighting] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    """Command lines of processes that are still running at the end."""


def read_points(content: bytes) -> list[Point]:
    """Return the complete records of a records.jsonl file, skipping a torn last line."""
    return [Point.of(decode_line(line)) for line in content.split(b"\n")[:-1]]
