"""The result of a review: findings as codes and values, without messages, and statistics."""

from enum import StrEnum

from pydantic import BaseModel

SHOWN_PLACES = 5
"""Maximum number of places per finding."""
SHOWN_KINDS = 10
"""Maximum number of kinds per finding, such as distinct special tokens."""


class WarningCode(StrEnum):
    """The problems about which a review warns."""

    DUPLICATES = "duplicates"
    NEAR_DUPLICATES = "near_duplicates"
    EMPTY_ANSWERS = "empty_answers"
    UNANSWERED = "unanswered"
    GARBLED_TEXT = "garbled_text"
    SPECIAL_TOKENS = "special_tokens"
    REFUSALS = "refusals"
    OTHER_LANGUAGE = "other_language"
    SECRETS = "secrets"


class Place(BaseModel):
    """Where a problem is. It never contains text from the row."""

    row: int
    """Number of the row in the dataset, from 1."""
    line: int | None = None
    """Line in the uploaded file, from 1; null if the file has no lines or the dataset was reviewed after its upload."""
    file: str | None = None
    """Name of the file within an archive; null for other uploads, or if the dataset was reviewed after its upload."""
    field: str | None = None
    """Path of the field, such as `messages[2].content`; null if the problem concerns the whole row."""
    found: str | None = None
    """What was found: a special token, the kind of a secret, or the script of a text."""
    same_as_row: int | None = None
    """For duplicates: the earlier row."""


class Finding(BaseModel):
    """One kind of problem in a dataset."""

    code: WarningCode
    rows: int
    """Number of rows with the problem."""
    found: dict[str, int] = {}
    """Number of rows per special token, kind of secret or script; at most 10 entries."""
    places: list[Place]
    """The first places, at most 5."""


class Bin(BaseModel):
    """A bar of a histogram."""

    from_characters: int
    """Smallest length in this bin."""
    to_characters: int
    """All lengths in this bin are below this value."""
    rows: int


class Lengths(BaseModel):
    """Lengths of rows in characters, over all turns."""

    mean: float
    shortest: int
    p50: int
    """Half of the rows are at most this long."""
    p90: int
    p95: int
    p99: int
    longest: int
    histogram: list[Bin]


class Statistics(BaseModel):
    """Statistics about the rows. Lengths are in characters, because tokens depend on the model."""

    turns: int
    """Number of turns. A row of plain text is one turn."""
    characters: int
    trained_characters: int
    """Characters of the turns that the model is trained on."""
    trained_share: float
    """`trained_characters` divided by `characters`."""
    roles: dict[str, int]
    """Characters by role. Plain text counts as `assistant`."""
    lengths: Lengths
    scripts: dict[str, int]
    """Number of compared rows by their most frequent script, such as `han` or `latin`; `none` for rows without letters."""
    rows_with_copies: int
    """Number of rows that occur more than once."""


class Review(BaseModel):
    """Everything that a review found."""

    reviewed_rows: int
    """Number of rows read. It is smaller than the dataset if the time limit was reached."""
    compared_rows: int
    """Number of rows compared for near duplicates and languages: all rows, or a sample of a large dataset."""
    findings: list[Finding]
    statistics: Statistics
