"""The loss curve: one clean line over all attempts.

The newest attempt's points win from the first step that it trained; what it replaced is left out. A cursor is
(attempt number, seq), so a reader that comes back after a resume is told how far to rewind.
"""

import math
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.history import store
from app.models import Attempt
from app.pages import decode_cursor, encode_cursor

Point = dict[str, Any]


def read_curve(
    session: Session, job_id: str, since: str | None, limit: int | None
) -> dict[str, Any]:
    """Return a LossPage as plain data: there may be a hundred thousand points."""
    number, seq = decode_cursor(since, 2, "since") if since else (0, 0)
    attempts = [a for a in store.list_attempts(session, job_id) if a.first_step is not None]
    points: list[Point] = []
    rewind_to_step: int | None = None
    has_more = False
    for attempt, before_step in _pieces(attempts):
        if attempt.number < number:
            continue
        room = None if limit is None else limit - len(points)
        after_seq = seq if attempt.number == number else 0
        rows = store.list_metrics(
            session, attempt, after_seq, before_step, None if room is None else room + 1
        )
        if room is not None and len(rows) > room:
            rows, has_more = rows[:room], True
        if rows:
            if since is not None and attempt.number > number > 0:
                rewind_to_step = _lower(rewind_to_step, (attempt.first_step or 1) - 1)
            points += [
                _point(step, at, data["values"], attempt.number)
                for _, step, at, data in rows
                if "loss" in data["values"]
            ]
            number, seq = attempt.number, rows[-1][0]
        if has_more:
            break
    return {
        "object": "list",
        "data": points,
        "has_more": has_more,
        "cursor": encode_cursor(number, seq),
        "rewind_to_step": rewind_to_step,
        "nonfinite": [point["step"] for point in points if point["loss"] is None],
    }


def _pieces(attempts: list[Attempt]) -> list[tuple[Attempt, int | None]]:
    """Return each attempt with the step from which a newer one replaces it."""
    pieces: list[tuple[Attempt, int | None]] = []
    before: int | None = None
    for attempt in reversed(attempts):
        pieces.append((attempt, before))
        before = _lower(before, attempt.first_step or 0)
    return pieces[::-1]


def _lower(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def _point(step: int, at: datetime, values: dict[str, Any], attempt: int) -> Point:
    return {
        "step": step,
        "loss": _finite(values.get("loss")),
        "learning_rate": _finite(values.get("learning_rate")),
        "grad_norm": _finite(values.get("grad_norm")),
        "epoch": _finite(values.get("epoch")),
        "attempt": attempt,
        "at": at.isoformat().replace("+00:00", "Z"),
    }


def _finite(value: float | str | None) -> float | None:
    # Non-finite numbers are stored as strings: JSON has none.
    return value if isinstance(value, int | float) and math.isfinite(value) else None
