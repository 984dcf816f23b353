"""The rows of a dataset: conversations with their locations in a file, and the split into training and evaluation."""

from dataclasses import dataclass
from pathlib import Path

from contracts.dataset.row_error import RowError
from contracts.dataset.rows import Message, parse_row, read_jsonl
from contracts.failure import FailureReason
from contracts.job import JobSpec
from worker.training.data.bounds import Bounds
from worker.training.data.order import held_out
from worker.training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation and its location: the file name and the line number, from 1."""

    file: str
    line: int
    turns: list[Message]

    @property
    def place(self) -> str:
        """The location as text."""
        return f"{self.file}: line {self.line}"


def read_rows(path: Path, bounds: Bounds) -> list[Row]:
    """Return the rows of a JSONL file. Raises TrainingError if the file is missing or unreadable."""
    rows = []
    try:
        with path.open("rb") as lines:
            for line, value in read_jsonl(lines):
                rows.append(Row(path.name, line, parse_row(value, line)))
                bounds.poll()
    except FileNotFoundError as error:
        raise TrainingError(
            FailureReason.DATASET_NOT_FOUND, f"{path.parent.name}/{path.name} is missing"
        ) from error
    except RowError as error:
        raise TrainingError(
            FailureReason.DATASET_INVALID,
            f"{path.name}: {error}",
            evidence={"line": error.line},
        ) from error
    return rows


def hold_out(rows: list[Row], spec: JobSpec) -> tuple[list[Row], list[Row]]:
    """Split the rows into training rows and evaluation rows."""
    count = spec.dataset.held_out_rows(len(rows))
    if count >= len(rows):
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"holding out {count} of {len(rows)} rows for evaluation (dataset.eval_size) leaves none to train on",
            evidence={"rows": len(rows), "eval_rows": count},
        )
    chosen = set(held_out(spec.training.seed, len(rows), count))
    return (
        [row for number, row in enumerate(rows) if number not in chosen],
        [row for number, row in enumerate(rows) if number in chosen],
    )
