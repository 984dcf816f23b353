"""The server's request to the child process of a review, and the child's answer."""

from dataclasses import dataclass

from app.datasets.conversion.request import ChildRequest, Limits
from app.datasets.review.findings import Review
from app.datasets.review.reviewer import Reviewed

READING_SHARE = 0.7
"""The child stops reading rows after this share of its time, and returns the review of the rows read so far."""


@dataclass(frozen=True)
class Request(ChildRequest):
    """How to review the rows on the child's standard input."""

    rows: int
    """Number of rows of the dataset."""
    limits: Limits


def dump_answer(reviewed: Reviewed | None) -> bytes:
    """Return an answer: a line of JSON, then the hashes."""
    if reviewed is None:
        return b"null\n"
    return reviewed.review.model_dump_json().encode() + b"\n" + reviewed.hashes


def load_answer(answer: bytes) -> Reviewed | None:
    """Return an answer serialized by `dump_answer`. Raises ValueError if it is incomplete."""
    content, end, hashes = answer.partition(b"\n")
    if not end:
        raise ValueError("no answer")
    if content == b"null":
        return None
    return Reviewed(Review.model_validate_json(content), hashes)
