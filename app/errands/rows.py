"""Reads chosen rows of a stored dataset for a preview."""

from collections.abc import Collection
from pathlib import Path

from app.errors.kinds import PreviewRowsTooLarge
from contracts.errands.errand import MOST_ROW_BYTES, PreviewedLine


def read_rows(path: Path, rows: Collection[int]) -> list[PreviewedLine]:
    """Return the rows with these numbers, counted from 0. Raises OSError, or PreviewRowsTooLarge."""
    found: dict[int, bytes] = {}
    size = 0
    last = max(rows)
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number in rows:
                found[number] = line
                size += len(line)
                if size > MOST_ROW_BYTES:
                    raise PreviewRowsTooLarge("rows", limit=MOST_ROW_BYTES)
            if number == last:
                break
    return [
        PreviewedLine(row=row, line=found[row].decode("utf-8", "replace"))
        for row in rows
        if row in found
    ]
