"""The rows of a dataset: conversations and documents with their locations in a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from contracts.data_spec import Preference
from contracts.dataset.columns.labels import Labels, OtherLabels
from contracts.dataset.conversation import RATING_FORMS, Parsed
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_row, read_jsonl
from contracts.failure import FailureReason
from worker.training.data.bounds import Bounds
from worker.training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation or document and its location: the name of its file or dataset, and the line number, from 1."""

    file: str
    line: int
    content: Parsed

    @property
    def place(self) -> str:
        """The location as text."""
        return f"{self.file}: line {self.line}"


def read_rows(
    path: Path,
    bounds: Bounds,
    preference: Preference | None = None,
    name: str | None = None,
    *,
    is_from_hub: bool = False,
) -> list[Row]:
    """Return the rows of a JSONL file that contain something to train on.

    `name`: the name in error messages; by default, that of the file. `is_from_hub`: whether labels such as 1 may be ratings. The server
    has replaced them in an uploaded file; in one that an earlier version accepted, they are classes. Raises TrainingError if the file is
    missing or unreadable, or if its rows rate answers and the job does not set `preference`.
    """
    name = name or path.name
    try:
        try:
            return list(_rows(path, bounds, preference, name, Labels(are_ratings=is_from_hub)))
        except OtherLabels:
            return list(_rows(path, bounds, preference, name, Labels(are_ratings=False)))
    except FileNotFoundError as error:
        raise TrainingError(
            FailureReason.DATASET_NOT_FOUND, f"{path.parent.name}/{path.name} is missing"
        ) from error
    except RowError as error:
        raise TrainingError(
            FailureReason.DATASET_INVALID,
            f"{name}: {error}",
            evidence={"line": error.line},
        ) from error


def _rows(
    path: Path, bounds: Bounds, preference: Preference | None, name: str, labels: Labels
) -> Iterator[Row]:
    rated: Row | None = None
    with path.open("rb") as lines:
        for line, value in read_jsonl(lines):
            row = Row(name, line, parse_row(labels.arrange(value), line))
            if rated is None and row.content.form in RATING_FORMS:
                rated = row
            if row.content.is_trained:
                yield row
            bounds.poll()
    # A later label may show that the labels are classes, so this is known only at the end.
    labels.finish()
    if rated is not None and preference is None:
        _reject_ratings(rated)


def _reject_ratings(row: Row) -> NoReturn:
    raise TrainingError(
        FailureReason.DATASET_INVALID,
        f"{row.place}: the row rates answers (format {row.content.form}). Set dataset.preference to chosen_only to train on "
        "the good answers only",
        evidence={"line": row.line},
    )
