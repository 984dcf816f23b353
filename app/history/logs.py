"""Logs: the training process's output and log records, merged by time."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import Attempt
from app.history import store
from app.history.schemas import LogLine
from app.http.paging import Page, decode_cursor, encode_cursor
from app.leases.store import list_attempts
from contracts.record import printed_line
from contracts.values.text import escape_lines


@dataclass(frozen=True)
class _LogPlace:
    """A reader's position: the attempt, the last record, the output chunk's offset, and the lines read from it."""

    attempt: int = 0
    seq: int = 0
    offset: int = 0
    lines: int = 0


def read_logs(session: Session, job_id: str, cursor: str | None, limit: int) -> Page[LogLine]:
    """Return a page of a job's log lines, oldest first, attempt by attempt."""
    place = _LogPlace(*decode_cursor(cursor, 4)) if cursor else _LogPlace()
    lines: list[LogLine] = []
    for attempt in list_attempts(session, job_id):
        if attempt.number < place.attempt:
            continue
        if attempt.number > place.attempt:
            place = _LogPlace(attempt.number)
        for line, place_after in _read_attempt(session, attempt, place, limit - len(lines) + 1):
            if len(lines) == limit:
                return _page(lines, place, has_more=True)
            lines.append(line)
            place = place_after
    return _page(lines, place, has_more=False)


def read_whole(session: Session, job_id: str) -> Iterator[str]:
    """Yield every line of a job's logs as text, escaped for a terminal.

    Output lines in which the training process repeats its log records are omitted.
    """
    for attempt in list_attempts(session, job_id):
        recorded = {
            printed_line(line.level or "", line.text)
            for line, *_ in _recorded(session, attempt, 0, None)
        }
        for line, _ in _read_attempt(session, attempt, _LogPlace(attempt.number), None):
            if line.source == "record" or line.text not in recorded:
                yield escape_lines(line.text)


def _page(lines: list[LogLine], place: _LogPlace, has_more: bool) -> Page[LogLine]:
    cursor = encode_cursor(place.attempt, place.seq, place.offset, place.lines)
    return Page(data=lines, has_more=has_more, cursor=cursor)


def _read_attempt(
    session: Session, attempt: Attempt, start: _LogPlace, limit: int | None
) -> Iterator[tuple[LogLine, _LogPlace]]:
    """Yield an attempt's lines after a place, merged by time, each with its following place."""
    place = start
    merged = heapq.merge(
        _recorded(session, attempt, start.seq, limit),
        _printed(session, attempt, start, limit),
        key=lambda item: item[0].at,
    )
    for line, seq, offset, lines in merged:
        if line.source == "record":
            place = _LogPlace(attempt.number, seq, place.offset, place.lines)
        else:
            place = _LogPlace(attempt.number, place.seq, offset, lines)
        yield line, place


def _recorded(
    session: Session, attempt: Attempt, after_seq: int, limit: int | None
) -> Iterator[tuple[LogLine, int, int, int]]:
    for record in store.list_logs(session, attempt, after_seq, limit):
        line = LogLine(
            at=record.at,
            attempt=attempt.number,
            source="record",
            level=str(record.data.get("level", "info")),
            text=str(record.data.get("message", "")),
        )
        yield line, record.seq, 0, 0


def _printed(
    session: Session, attempt: Attempt, start: _LogPlace, limit: int | None
) -> Iterator[tuple[LogLine, int, int, int]]:
    # Read one more chunk, because the reader may have read all lines of the first.
    chunks = None if limit is None else limit + 1
    for chunk in store.list_output(session, attempt.id, start.offset, chunks):
        skipped = start.lines if chunk.offset == start.offset else 0
        for number, text in enumerate(chunk.text.splitlines(), start=1):
            if number > skipped:
                line = LogLine(
                    at=chunk.at, attempt=attempt.number, source="output", level=None, text=text
                )
                yield line, 0, chunk.offset, number
