"""DataFacts: how varied the rows of a run are, and how many evaluation rows are also training rows.

Rows are compared as conversations, regardless of their format in the file. Two strings are equal after normalization if they
differ only in Unicode form (NFKC), case, whitespace or invisible characters; docs/numbers.md has the details.
"""

from pydantic import Field

from contracts.base import Tolerant


class RowFacts(Tolerant):
    """Counts for one split, before any row is truncated or dropped. Rows are compared after normalization."""

    rows: int = Field(ge=0)
    distinct_rows: int = Field(ge=0)
    """Number of distinct rows; `rows` minus this is the number of duplicates."""
    distinct_answers: int = Field(ge=0)
    """Number of distinct answers; the answer of a chat consists of all assistant turns."""
    top_answer_rows: int = Field(ge=0)
    """Number of rows with the most frequent answer."""


class DataFacts(Tolerant):
    """Counts for both splits."""

    train: RowFacts
    evaluation: RowFacts
    overlapping_rows: int = Field(ge=0)
    """Number of evaluation rows that match a training row character for character."""
    overlapping_rows_normalized: int = Field(ge=0)
    """Number of evaluation rows that match a training row after normalization, including exact matches."""
