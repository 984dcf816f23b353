"""SQL for series: values of records and samples, and blocks folded from records."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Row, bindparam, func, insert, select
from sqlalchemy.orm import Session

from app.db.tables import Attempt, Base, CurveBlock, Record, Sample
from app.series.line import FAR, Bounds

NumbersRow = tuple[int, str, int, datetime, dict[str, Any]]
"""(seq, type, step, at, data) of a metric or eval record."""


_record = Base.metadata.tables[Record.__tablename__].c


_NUMBERS = (
    select(_record.seq, _record.type, _record.step, _record.at, _record.data)
    .where(
        _record.attempt_id == bindparam("attempt"),
        _record.seq > bindparam("after"),
        _record.seq <= bindparam("last"),
        _record.type.in_(("metric", "eval")),
        _record.step < bindparam("before"),
    )
    .order_by(_record.seq)
    .limit(bindparam("limit", type_=BigInteger))
)


_sample = Base.metadata.tables[Sample.__tablename__].c


_SAMPLES = (
    select(_sample.seq, _sample.step, _sample.at, _sample.data)
    .where(
        _sample.attempt_id == bindparam("attempt"),
        _sample.seq > bindparam("after"),
        _sample.seq <= bindparam("last"),
    )
    .order_by(_sample.seq)
    .limit(bindparam("limit", type_=BigInteger))
)


_LAST_SAMPLES = (
    select(_sample.attempt_id, func.max(_sample.seq))
    .where(_sample.attempt_id.in_(bindparam("attempts", expanding=True)))
    .group_by(_sample.attempt_id)
)


NON_FINITE = ("NaN", "Infinity", "-Infinity")
"""String forms of non-finite numbers in records, because JSON does not support them."""


@dataclass(frozen=True)
class WindowSums:
    """The sums from which the mean loss of a window is computed."""

    steps: int
    nll: float
    tokens: float
    non_finite: int

    def __add__(self, other: "WindowSums") -> "WindowSums":
        return WindowSums(
            self.steps + other.steps,
            self.nll + other.nll,
            self.tokens + other.tokens,
            self.non_finite + other.non_finite,
        )

    @property
    def mean(self) -> float | None:
        """Nats per supervised token; None if not finite."""
        mean = self.nll / (self.tokens or 1.0)
        return mean if math.isfinite(mean) and not self.non_finite else None


def list_metrics(
    session: Session, attempt: Attempt, after_seq: int, before_step: int | None, limit: int | None
) -> Sequence[tuple[int, int, datetime, dict[str, Any]]]:
    """Return (seq, step, at, data) of at most `limit` acknowledged metric records of an attempt after `after_seq`."""
    query = select(Record.seq, Record.step, Record.at, Record.data).where(
        Record.attempt_id == attempt.id,
        Record.type == "metric",
        Record.seq > after_seq,
        Record.seq <= attempt.acked_seq,
    )
    if before_step is not None:
        query = query.where(Record.step < before_step)
    rows = session.execute(query.order_by(Record.seq).limit(limit)).all()
    return [(seq, step or 0, at, data) for seq, step, at, data in rows]


def sum_windows(
    session: Session, attempt: Attempt, before_step: int | None, width: int
) -> dict[int, WindowSums]:
    """Return the sums of an attempt's losses by window number, from 0.

    The database computes the sums. Loading a million rows as Python objects would take ten times as long and delay every
    other request.
    """
    loss, tokens = (Record.data[("values", name)] for name in ("loss", "tokens"))
    window = (Record.step - 1) // width
    weight = func.coalesce(tokens.as_float(), 1.0)
    query = select(
        window,
        func.count(),
        func.sum(loss.as_float() * weight),
        func.sum(weight),
        func.count().filter(loss.as_string().in_(NON_FINITE)),
    ).where(
        Record.attempt_id == attempt.id,
        Record.type == "metric",
        Record.seq <= attempt.acked_seq,
        loss.as_string().is_not(None),
    )
    if before_step is not None:
        query = query.where(Record.step < before_step)
    rows = session.execute(query.group_by(window))
    return {number: WindowSums(*sums) for number, *sums in rows}


def list_by_seq(
    session: Session, attempt_id: str, seqs: Sequence[int]
) -> list[tuple[int, datetime, dict[str, Any]]]:
    """Return (step, at, data) of the records with these seqs, ordered by seq."""
    found: list[tuple[int, datetime, dict[str, Any]]] = []
    for start in range(0, len(seqs), 500):  # databases limit the number of parameters
        rows = session.execute(
            select(Record.step, Record.at, Record.data)
            .where(Record.attempt_id == attempt_id, Record.seq.in_(seqs[start : start + 500]))
            .order_by(Record.seq)
        )
        found += [(step or 0, at, data) for step, at, data in rows]
    return found


def list_numbers(
    session: Session,
    attempt_id: str,
    after_seq: int,
    last_seq: int,
    *,
    before_step: int | None = None,
    limit: int | None = None,
) -> Sequence[NumbersRow]:
    """Return an attempt's metric and eval records after `after_seq`, up to `last_seq`."""
    parameters = {
        "attempt": attempt_id,
        "after": after_seq,
        "last": last_seq,
        "before": FAR if before_step is None else before_step,
        "limit": FAR if limit is None else limit,
    }
    return [tuple(row) for row in session.execute(_NUMBERS, parameters)]


def list_evaluated_from(session: Session, attempt_ids: Sequence[str]) -> dict[str, int]:
    """Return the lowest evaluated step of each attempt with evaluations."""
    query = (
        select(Record.attempt_id, func.min(Record.step))
        .where(Record.attempt_id.in_(attempt_ids), Record.type == "eval")
        .group_by(Record.attempt_id)
    )
    return {attempt_id: step or 0 for attempt_id, step in session.execute(query)}


def list_samples(
    session: Session, attempt_id: str, after_seq: int, last_seq: int, limit: int | None = None
) -> Sequence[tuple[int, int | None, datetime, dict[str, Any]]]:
    """Return (seq, step, at, values) of an attempt's samples after `after_seq`, up to `last_seq`."""
    parameters = {
        "attempt": attempt_id,
        "after": after_seq,
        "last": last_seq,
        "limit": FAR if limit is None else limit,
    }
    return [tuple(row) for row in session.execute(_SAMPLES, parameters)]


def list_last_samples(session: Session, attempt_ids: Sequence[str]) -> dict[str, int]:
    """Return the seq of the last sample of each attempt that has samples."""
    return dict(session.execute(_LAST_SAMPLES, {"attempts": attempt_ids}).all())


def list_sample_names(session: Session, attempt_ids: Sequence[str]) -> set[str]:
    """Return the names of the values in the last sample of each attempt."""
    last = list_last_samples(session, attempt_ids)
    return {
        name
        for attempt_id, seq in last.items()
        for *_, data in list_samples(session, attempt_id, seq - 1, seq)
        for name in data
    }


def insert_blocks(
    session: Session,
    attempt_id: str,
    level: int,
    number: int,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Insert the blocks of one level and number: one row for each series."""
    key = {"attempt_id": attempt_id, "level": level, "number": number}
    if rows:
        session.execute(insert(CurveBlock), [key | row for row in rows])


def list_level(
    session: Session, attempt_id: str, level: int, start: int, end: int
) -> Sequence[Row[Any]]:
    """Return a level's blocks numbered from `start` to `end` (exclusive), ordered by series and number."""
    return session.execute(
        _blocks(attempt_id, level, start, end).order_by(CurveBlock.name, CurveBlock.number)
    ).all()


def list_blocks(
    session: Session,
    attempt_id: str,
    name: str,
    level: int,
    *,
    start: int,
    end: int,
    bounds: Bounds,
) -> Sequence[Row[Any]]:
    """Return a series' blocks at a level, numbered from `start` to `end` (exclusive), with steps within the bounds."""
    return session.execute(
        _blocks(attempt_id, level, start, end)
        .where(
            CurveBlock.name == name,
            CurveBlock.last_step >= bounds.start,
            CurveBlock.first_step < bounds.end,
        )
        .order_by(CurveBlock.number)
    ).all()


def find_span(session: Session, attempt_id: str, bounds: Bounds) -> tuple[int, int]:
    """Return the first and last numbers of the level-1 blocks with steps within the bounds; (0, -1) if none."""
    first, last = session.execute(
        select(func.min(CurveBlock.number), func.max(CurveBlock.number)).where(
            CurveBlock.attempt_id == attempt_id,
            CurveBlock.level == 1,
            CurveBlock.last_step >= bounds.start,
            CurveBlock.first_step < bounds.end,
        )
    ).one()
    return (0, -1) if first is None else (first, last)


def list_names(session: Session, attempt_ids: Sequence[str]) -> set[str]:
    """Return the names of the series that have blocks."""
    return set(
        session.scalars(
            select(CurveBlock.name).where(CurveBlock.attempt_id.in_(attempt_ids)).distinct()
        )
    )


def _blocks(attempt_id: str, level: int, start: int, end: int) -> Any:
    return select(
        CurveBlock.name,
        CurveBlock.number,
        CurveBlock.total,
        CurveBlock.first_step,
        CurveBlock.last_step,
        CurveBlock.points,
    ).where(
        CurveBlock.attempt_id == attempt_id,
        CurveBlock.level == level,
        CurveBlock.number >= start,
        CurveBlock.number < end,
    )
