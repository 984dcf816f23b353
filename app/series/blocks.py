"""Curve blocks: each series of an attempt on progressively coarser grids, written as records arrive.

A level-1 block covers 1,024 records, thinned in buckets of 16. A block of level n+1 covers 16 blocks of level n,
thinned in buckets 16 times as wide. The server writes a block once all of its records have arrived, and never changes
it. The records remain the source of truth: readers use them for the newest points, which are not in a block yet, and
for the edges of a range.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.series import store
from app.series.points import Point, pack, thin, unpack, with_ends

LENGTH = 1024
"""Number of records in a level-1 block."""
FAN = 16
"""Number of blocks combined into one block of the next level; also the width of the finest buckets, in records."""
MAX_PER_SYNC = 32
"""Maximum number of level-1 blocks written per sync. A backlog from an earlier version takes several syncs."""
LONGEST_NAME = 100
EVALUATION, EVALUATION_ACCURACY = "eval_loss", "eval_token_accuracy"
"""Series of an evaluation: its loss, and the fraction of supervised tokens that the model predicts."""
PACE = "tokens_per_second"
"""A series that the server derives from the tokens and the seconds of a step."""
SYSTEM = "sys."
"""Prefix of series sampled by the supervisor. Values in training records with this prefix are ignored."""


def length(level: int) -> int:
    """Return the number of records in a block of this level."""
    return LENGTH * int(FAN ** (level - 1))


def width(level: int) -> int:
    """Return the number of records in a bucket of this level."""
    return int(FAN**level)


def values_of(
    kind: str, data: Mapping[str, Any], only: Collection[str] | None = None
) -> dict[str, float]:
    """Return a stored record's values by series; `only` restricts the series."""
    if kind == "eval":
        # Workers of earlier versions do not report the accuracy.
        evaluated = {EVALUATION: data["loss"], EVALUATION_ACCURACY: data.get("token_accuracy")}
        return {
            name: float(value)
            for name, value in evaluated.items()
            if value is not None and (only is None or name in only)
        }
    if kind != "metric":
        return {}
    stored = data["values"]
    values = {
        name: float(stored[name])
        for name in (stored if only is None else stored.keys() & only)
        if _is_storable(name)
    }
    if (only is None or PACE in only) and PACE not in stored:
        tokens, seconds = stored.get("tokens"), stored.get("seconds")
        if tokens is not None and seconds:
            values[PACE] = float(tokens) / float(seconds)
    return values


def values_of_sample(data: Mapping[str, Any]) -> dict[str, float]:
    """Return a stored sample's values by series."""
    return {name: float(value) for name, value in data.items()}


def _is_storable(name: str) -> bool:
    return len(name) <= LONGEST_NAME and not name.startswith(SYSTEM) and "\0" not in name


def fold(session: Session, attempt_id: str, folded_seq: int, acked_seq: int) -> int:
    """Write the blocks completed by records up to `acked_seq`, and return the `seq` of the last folded record."""
    start = folded_seq // LENGTH
    end = min(acked_seq // LENGTH, start + MAX_PER_SYNC)
    for number in range(start, end):
        _fold_records(session, attempt_id, number)
        level, count = 1, number + 1
        while count % FAN == 0:
            level, count = level + 1, count // FAN
            _fold_blocks(session, attempt_id, level, count - 1)
    return max(folded_seq, end * LENGTH)


def read_records(
    session: Session,
    attempt_id: str,
    after_seq: int,
    last_seq: int,
    *,
    before_step: int | None = None,
    limit: int | None = None,
) -> Iterator[tuple[int, int, datetime, dict[str, float]]]:
    """Yield (seq, step, at, values by series) of the metric and eval records after `after_seq`, up to `last_seq`."""
    for seq, kind, step, at, data in store.list_numbers(
        session, attempt_id, after_seq, last_seq, before_step=before_step, limit=limit
    ):
        yield seq, step, at, values_of(kind, data)


def by_series(
    records: Iterable[tuple[int, int, datetime, Mapping[str, float]]],
) -> dict[str, list[Point]]:
    """Return the points of each series, in record order."""
    series: dict[str, list[Point]] = defaultdict(list)
    for seq, step, at, values in records:
        moment = at.timestamp()
        for name, value in values.items():
            series[name].append((seq, step, moment, value))
    return series


def _fold_records(session: Session, attempt_id: str, number: int) -> None:
    first = number * LENGTH
    rows = []
    for name, points in by_series(read_records(session, attempt_id, first, first + LENGTH)).items():
        steps = [step for _, step, _, _ in points]
        rows.append(
            {
                "name": name,
                "total": len(points),
                "first_step": min(steps),
                "last_step": max(steps),
                "points": _packed(points, 1),
            }
        )
    store.insert_blocks(session, attempt_id, 1, number, rows)


def _fold_blocks(session: Session, attempt_id: str, level: int, number: int) -> None:
    finer = store.list_level(session, attempt_id, level - 1, number * FAN, (number + 1) * FAN)
    rows = []
    for name, group in itertools.groupby(finer, key=lambda block: block.name):
        blocks = list(group)
        points = [point for block in blocks for point in unpack(block.points)]
        rows.append(
            {
                "name": name,
                "total": sum(block.total for block in blocks),
                "first_step": min(block.first_step for block in blocks),
                "last_step": max(block.last_step for block in blocks),
                "points": _packed(points, level),
            }
        )
    store.insert_blocks(session, attempt_id, level, number, rows)


def _packed(points: list[Point], level: int) -> bytes:
    return pack(with_ends(points, thin(points, width(level))))
