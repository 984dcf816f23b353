"""The results of reading an uploaded file: a Row, or a Rejected with the place and the problem."""

from dataclasses import dataclass
from typing import Any

from app.datasets.files.file_error import FileError
from contracts.dataset.row_error import RowError
from contracts.failure import Language
from contracts.values.text import escape


@dataclass(frozen=True)
class Row:
    """A row of the file. `number` and `line` (its first line) count from 1; `line` is 0 if the file has no lines."""

    number: int
    line: int
    value: Any
    file: str = ""
    """Name of the file within an archive; empty if the upload is not an archive."""
    text: bytes | None = None
    """The row's JSON exactly as in the file, on one line. If present, integers beyond 64 bits in `value` are floats."""


@dataclass(frozen=True)
class Rejected:
    """A problem with a row or with the whole file."""

    error: RowError | FileError
    number: int | None = None
    """The row's position from 1, if known."""
    file: str = ""
    """As in Row."""

    @property
    def concerns_file(self) -> bool:
        """Whether the problem concerns the whole file."""
        return not self.error.line and self.number is None

    def describe(self, language: Language) -> str:
        """Return the place and the problem as one string."""
        place = [escape(self.file)[:200]] if self.file else []
        if self.number is not None:
            place.append(f"第 {self.number} 条" if language == "zh" else f"row {self.number}")
        if self.error.line:
            line = self.error.line
            place.append(f"第 {line} 行" if language == "zh" else f"line {line}")
        problem = self.error.sentence(language)
        if language == "zh":
            return "，".join(place) + ("：" if place else "") + problem
        return ", ".join(place) + (": " if place else "") + problem


Found = Row | Rejected
