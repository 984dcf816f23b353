"""The server's request to the child that checks a file, and the child's messages, which are one JSON array per line.

- `["progress", bytes, rows]`: how much has been read so far
- `["accepted", {…}]`: an Accepted
- `["refused", {…}]`: a Refused
- `["no_room", errno]`: a file in the data directory could not be written
"""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.datasets.conversion.request import ChildRequest, Encoding, Limits
from app.datasets.review.findings import Review

PROGRESS, ACCEPTED, REFUSED, NO_ROOM = "progress", "accepted", "refused", "no_room"
MAX_ANSWER_BYTES = 16 * 1024**2
"""Maximum length of a line."""


@dataclass(frozen=True)
class CheckRequest(ChildRequest):
    """How to check the file on the child's standard input, and where to store its rows."""

    filename: str
    encoding: Encoding | None
    columns: dict[str, Any]
    """As in `Columns.stored`."""
    data_dir: str
    draft: str
    """The temporary file for the rows, which the server deletes if the child does not move it."""
    path: str
    """Where accepted rows are stored, relative to the data directory."""
    limits: Limits
    """Limits of this check. A conversion within it has the same limits, with the shorter of the two times."""
    conversion_seconds: float
    review_limits: Limits
    """Limits of the review after the check."""


class Accepted(BaseModel):
    """The child's description of the stored rows: columns of the dataset, its review and the hashes of its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    bytes: int
    rows: int
    forms: dict[str, int]
    features: dict[str, Any]
    path: str
    review: Review | None = None
    """None if the review was not possible."""
    hashes: str = ""
    """In base64."""


def pack(kind: str, *values: Any) -> bytes:
    """Encode a message as a line."""
    return json.dumps([kind, *values]).encode() + b"\n"
