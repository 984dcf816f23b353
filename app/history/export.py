"""Exports metrics as CSV or NDJSON: every record, unsampled, read and sent page by page."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.db.engine import Database
from app.leases.store import list_attempts
from app.series.line import Bounds, Place
from app.series.news import News, NewsRow, read_news
from contracts.values.text import escape_cell

PAGE = 5000
"""Records per read. No transaction is open while they are sent."""


@dataclass(frozen=True)
class ExportQuery:
    """The part of a history to export."""

    names: Sequence[str]
    bounds: Bounds
    place: Place
    """Only rows after this place are exported."""


def csv_lines(database: Database, job_id: str, query: ExportQuery) -> Iterator[str]:
    """Yield CSV: a header, then one line per record. Missing and non-finite values are empty fields."""
    names = query.names
    yield _csv([["step", "attempt", "at", *map(escape_cell, names)]])
    for attempt, rows in read_pages(database, job_id, query):
        yield _csv(
            [
                [step, attempt, at.isoformat(), *(_text(values.get(name)) for name in names)]
                for _, step, at, values in rows
                if not values.keys().isdisjoint(names)
            ]
        )


def ndjson_lines(database: Database, job_id: str, query: ExportQuery) -> Iterator[str]:
    """Yield one JSON object per record, each on its own line. Non-finite values are null."""
    for attempt, rows in read_pages(database, job_id, query):
        lines = []
        for _, step, at, values in rows:
            chosen = {
                name: value if math.isfinite(value) else None
                for name, value in values.items()
                if name in query.names
            }
            if chosen:
                line = {"step": step, "attempt": attempt, "at": at.isoformat(), "values": chosen}
                lines.append(json.dumps(line) + "\n")
        yield "".join(lines)


def read_pages(
    database: Database, job_id: str, query: ExportQuery
) -> Iterator[tuple[int, Sequence[NewsRow]]]:
    """Yield (attempt number, rows) page by page, sorted by time."""
    place, bounds, newest = query.place, query.bounds, 0
    while True:
        news = _read(database, job_id, place)
        for batch in news.batches:
            if batch.attempt < newest:
                return  # the history was rewound to an older attempt: stop instead of repeating points
            newest = batch.attempt
            rows = [row for row in batch.rows if bounds.start <= row[1] < bounds.end]
            yield batch.attempt, sorted(rows, key=lambda row: row[2])
        place = news.place
        if not news.has_more:
            return


def _read(database: Database, job_id: str, place: Place) -> News:
    with database.reading() as session:
        return read_news(session, list_attempts(session, job_id), place, PAGE)


def _csv(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _text(value: float | None) -> object:
    return "" if value is None or not math.isfinite(value) else value
