"""The server's request to a child process: how to read the file, and the limits."""

import json
from dataclasses import asdict, dataclass
from typing import Literal, Self

Encoding = Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "gb18030"]


@dataclass(frozen=True)
class Limits:
    """Limits of one conversion."""

    unpacked_bytes: int
    """Maximum size of the unpacked content and of the rows, in bytes."""
    memory_bytes: int
    """Address space limit of the child process."""
    seconds: float
    """Limit on wall-clock time and on CPU time."""


@dataclass(frozen=True)
class ChildRequest:
    """A request that is passed to a child process as an argument. The names of fields that contain Limits end in `limits`."""

    def dump(self) -> str:
        """Return the request as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        """Return the request serialized by `dump`."""
        fields = json.loads(text)
        limits = {name: Limits(**fields[name]) for name in fields if name.endswith("limits")}
        return cls(**fields | limits)


@dataclass(frozen=True)
class Request(ChildRequest):
    """How to read the file on the child's standard input."""

    filename: str
    encoding: Encoding | None
    """The text's encoding; None to detect it."""
    limits: Limits
