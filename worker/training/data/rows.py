"""The rows of a dataset: conversations and documents with their locations in a file."""

from dataclasses import dataclass
from pathlib import Path

from contracts.data_spec import Preference
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
    path: Path, bounds: Bounds, preference: Preference | None = None, name: str | None = None
) -> list[Row]:
    """Return the rows of a JSONL file that contain something to train on.

    `name`: the name in error messages; by default, that of the file. Raises TrainingError if the file is missing or unreadable, or if
    its rows rate answers and the job does not set `preference`.
    """
    rows, name = [], name or path.name
    try:
        with path.open("rb") as lines:
            for line, value in read_jsonl(lines):
                row = Row(name, line, parse_row(value, line))
                if preference is None:
                    _reject_ratings(row)
                if row.content.is_trained:
                    rows.append(row)
                bounds.poll()
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
    return rows


def _reject_ratings(row: Row) -> None:
    if row.content.form in RATING_FORMS:
        raise TrainingError(
            FailureReason.DATASET_INVALID,
            f"{row.place}: the row rates answers (format {row.content.form}). Set dataset.preference to chosen_only to train on "
            "the good answers only",
            evidence={"line": row.line},
        )
