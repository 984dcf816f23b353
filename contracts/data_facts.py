"""DataFacts: how varied the rows of a run are, and how many evaluation rows are also trained on.

Rows are compared as conversations, whatever form they have in the file. Two texts are the same after normalisation if they
differ only in Unicode form (NFKC), case, whitespace or invisible characters; docs/numbers.md has the details.
"""

from pydantic import Field

from contracts.base import Tolerant


class RowFacts(Tolerant):
    """Counts over the rows of one split as read, before any is cut or dropped. Compared after normalisation."""

    rows: int = Field(ge=0)
    distinct_rows: int = Field(ge=0)
    """Rows that differ; `rows` minus this are duplicates."""
    distinct_answers: int = Field(ge=0)
    """Answers that differ; the answer of a chat is all of the assistant's turns."""
    top_answer_rows: int = Field(ge=0)
    """Rows with the most frequent answer."""


class DataFacts(Tolerant):
    """Counts over both splits."""

    train: RowFacts
    evaluation: RowFacts
    overlapping_rows: int = Field(ge=0)
    """Evaluation rows that are in the training rows character for character."""
    overlapping_rows_normalized: int = Field(ge=0)
    """Evaluation rows that are in the training rows after normalisation; the exact ones included."""
