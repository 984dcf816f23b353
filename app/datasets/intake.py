"""Reads an uploaded file row by row, checks each row and writes it as JSONL."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO

from app.datasets.files.found import Rejected, Row
from app.datasets.refusal import COUNTED_ERRORS, Refused
from app.datasets.review.origins import Origins
from app.datasets.upload import Upload
from app.storage.data_dir import Draft
from contracts.dataset.columns.labels import Labels, OtherLabels
from contracts.dataset.columns.mapping import Columns
from contracts.dataset.conversation import Parsed
from contracts.dataset.features import FeatureCounter, RowFeatures
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.rows import MAX_LINE_BYTES, parse_row
from contracts.values.nesting import loads
from contracts.values.text import escape

SHOWN_COLUMNS = 12
"""Maximum number of columns of the first row to list in an error response."""
_BLOCK_BYTES = 1024 * 1024
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def hash_file(file: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256 of a file, in hexadecimal, and its length in bytes."""
    digest, length = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


@dataclass(frozen=True)
class Checked:
    """A summary of the rows of an accepted file."""

    forms: dict[str, int]
    """Number of rows per format."""
    features: RowFeatures

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(self.forms.values())


def check_rows(
    upload: Upload,
    draft: Draft,
    columns: Columns,
    notice: Callable[[int], None] = lambda _: None,
    origins: Origins | None = None,
) -> Checked:
    """Check the rows, write them as JSONL, and add the place of each row to `origins`.

    After each row, `notice` is called with the number of rows so far. If the labels turn out not to be ratings, reading starts again.

    Raises Refused with the first invalid rows, or with the reason why the file cannot be read.
    """
    try:
        return _check_rows(upload, draft, columns, notice, origins, labels=Labels())
    except OtherLabels:
        draft.clear()
        if origins is not None:
            origins.clear()
        return _check_rows(
            upload, draft, columns, notice, origins, labels=Labels(are_ratings=False)
        )


def _check_rows(
    upload: Upload,
    draft: Draft,
    columns: Columns,
    notice: Callable[[int], None],
    origins: Origins | None,
    *,
    labels: Labels,
) -> Checked:
    forms: Counter[str] = Counter()
    features = FeatureCounter()
    wrong: list[Rejected] = []
    empty: list[Rejected] = []
    is_answered = False
    unseen = _Unseen(columns)
    with closing(upload.rows()) as rows:
        for count, found in enumerate(rows, start=1):
            notice(count)
            if isinstance(found, Row):
                unseen.see(found.value)
            written = (
                found
                if isinstance(found, Rejected)
                else _write_row(found, draft, columns, origins, labels)
            )
            if not isinstance(written, Rejected):
                forms[written.form] += 1
                features.add(written)
                is_answered = is_answered or written.is_answered
                if not is_answered and isinstance(found, Row) and len(empty) < COUNTED_ERRORS:
                    error = RowError(found.line, RowProblem.EMPTY_ANSWER)
                    empty.append(Rejected(error, found.number, found.file))
                continue
            wrong.append(written)
            if len(wrong) >= COUNTED_ERRORS:
                break
    if len(wrong) == 1 and wrong[0].concerns_file:
        raise Refused("dataset_unreadable", wrong)
    if wrong:
        raise Refused("dataset_invalid", wrong)
    labels.finish()
    if not forms:
        raise Refused("dataset_empty")
    if not is_answered:
        raise Refused("dataset_invalid", empty)
    unseen.check()
    return Checked(dict(forms), features.features())


class _Unseen:
    """The mapped columns that have not occurred in any row yet."""

    def __init__(self, columns: Columns) -> None:
        self._sources = dict(columns.sources)
        self._first_row: list[str] | None = None

    def see(self, row: Any) -> None:
        """Remove the columns that occur in this row."""
        if not self._sources or not isinstance(row, dict):
            return
        if self._first_row is None:
            self._first_row = [str(name)[:60] for name in row][:SHOWN_COLUMNS]
        self._sources = {
            name: source for name, source in self._sources.items() if source not in row
        }

    def check(self) -> None:
        """Raise Refused if a mapped column does not occur in any row, because it may have been misspelled."""
        for name, source in self._sources.items():
            columns = escape(", ".join(self._first_row or [])) or "-"
            figures = {"column": escape(source), "columns": columns}
            raise Refused("column_not_found", param=f"columns[{name}]", figures=figures)


def _write_row(
    row: Row, draft: Draft, columns: Columns, origins: Origins | None, labels: Labels
) -> Parsed | Rejected:
    try:
        is_changed = columns.are_chosen or labels.may_change(row.value)
        arranged = columns.arrange(_exact_value(row) if is_changed else row.value, row.line)
        arranged = labels.arrange(arranged)
        parsed = parse_row(arranged, row.line)
    except RowError as error:
        return Rejected(columns.explain(error), row.number, row.file)
    content = _content(row, arranged)
    if len(content) >= MAX_LINE_BYTES:  # too long once the line break is added
        too_long = RowError(row.line, RowProblem.TOO_MANY_BYTES, limit=MAX_LINE_BYTES)
        return Rejected(too_long, row.number, row.file)
    draft.write(content + b"\n")
    if origins is not None:
        origins.add(row)
    return parsed


def _exact_value(row: Row) -> Any:
    """Return the row's value with exact integers beyond 64 bits, because it may have to be written again as JSON."""
    if row.text is not None and _LONG_NUMBER.search(row.text):
        return loads(row.text)
    return row.value


def _content(row: Row, arranged: Any) -> bytes:
    """Return the JSON to store: exactly as in the file, if possible."""
    if row.text is None or arranged is not row.value:
        return _encode(arranged)
    # Between values, a carriage return is whitespace; inside strings, JSON does not allow it. Some readers split lines at it.
    return row.text.replace(b"\r", b" ")


def _encode(value: Any) -> bytes:
    # UTF-8 cannot encode an unpaired surrogate. parse_row accepts one only in columns that are not trained on.
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")
