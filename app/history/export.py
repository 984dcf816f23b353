"""The whole history for other programs: every record, unsampled, of any length, a page of the database at a time."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence

from app.db import Database
from app.history import store
from app.history.line import Place
from app.history.news import News, Row, read_news

PAGE = 5000
"""Records of one look at the database; no transaction is open while they are sent."""


def csv_lines(database: Database, job_id: str, names: Sequence[str]) -> Iterator[str]:
    """Yield CSV: a header, then a line a record; what it does not carry or is not finite is an empty field."""
    yield _csv([["step", "attempt", "at", *names]])
    for attempt, rows in _pages(database, job_id):
        yield _csv(
            [
                [step, attempt, at.isoformat(), *(_text(values.get(name)) for name in names)]
                for _, step, at, values in rows
                if not values.keys().isdisjoint(names)
            ]
        )


def ndjson_lines(database: Database, job_id: str, names: Sequence[str]) -> Iterator[str]:
    """Yield one JSON object a line; what is not finite is null."""
    for attempt, rows in _pages(database, job_id):
        lines = []
        for _, step, at, values in rows:
            chosen = {
                name: value if math.isfinite(value) else None
                for name, value in values.items()
                if name in names
            }
            if chosen:
                line = {"step": step, "attempt": attempt, "at": at.isoformat(), "values": chosen}
                lines.append(json.dumps(line) + "\n")
        yield "".join(lines)


def _pages(database: Database, job_id: str) -> Iterator[tuple[int, Sequence[Row]]]:
    place = Place()
    while True:
        news = _read(database, job_id, place)
        for batch in news.batches:
            yield batch.attempt, sorted(batch.rows, key=lambda row: row[2])
        place = news.place
        if not news.has_more:
            return


def _read(database: Database, job_id: str, place: Place) -> News:
    with database.reading() as session:
        return read_news(session, store.list_attempts(session, job_id), place, PAGE)


def _csv(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _text(value: float | None) -> object:
    return "" if value is None or not math.isfinite(value) else value
