"""Warnings about rows that are longer than a job's `training.max_length`. Their number is exact if a worker has counted the tokens, otherwise estimated."""

import math

from app.datasets.tokens.lengths import ADVISED_SHARE
from app.plans.rows.counted import CountedDataset, EpochCounts
from app.plans.rows.sample import RowLength, RowSample
from app.plans.schemas import Note

_LEAST_SHARE = 0.02
"""Estimated share of rows above which all rows over the length count; at most this share may be errors of the estimate."""
_CLEARLY = 1.5
"""Other rows count only if their estimated length exceeds the maximum by this factor."""
_STEP = 64

Values = dict[str, float | int | str]


def find_cuts(sample: RowSample | None, max_length: int, context: int | None) -> list[Note]:
    """Return the warnings about a job's training rows. `context`: the maximum context length of the model; None if unknown."""
    if sample is None:
        return []
    refused = [note for part in sample.counted for note in _refused(part, is_mixed=sample.is_mixed)]
    if sample.counts is not None:
        return [*_counted(sample.counts, max_length, context), *refused]
    if sample.is_text or not sample.lengths:
        return refused
    return [*_estimated(sample, max_length, context), *refused]


def _counted(counts: EpochCounts, max_length: int, context: int | None) -> list[Note]:
    cut = counts.at(max_length)
    over, shortened, dropped = (
        round(each * counts.unread_factor)
        for each in (cut.rows_over, cut.answers_cut, cut.dropped_rows)
    )
    basis = "measured" if counts.is_complete else "measured_sample"
    common: Values = {"basis": basis, "max_length": max_length}
    notes = []
    if over:
        percent = _percent(cut.rows_over, counts.conversations)
        values = common | {"rows": over, "percent": percent}
        notes.append(Note(code="rows_over_length", values=values))
    if shortened or dropped:
        advice = _advice(max_length, counts.advise_length(), context)
        values = common | {"rows": shortened, "dropped_rows": dropped} | advice
        notes.append(Note(code="answers_cut", values=values))
    return notes


def _estimated(sample: RowSample, max_length: int, context: int | None) -> list[Note]:
    """Return the warnings based on the estimated lengths of some rows, as shares of all rows."""
    over = [row for row in sample.lengths if row.tokens > max_length]
    count = len(sample.lengths)
    if len(over) <= _LEAST_SHARE * count:
        return _few(sample, max_length)
    dropped = sum(row.tokens - row.supervised >= max_length for row in over)
    common: Values = {"basis": "sample", "max_length": max_length}
    advice = _advice(max_length, _estimate_length(sample.lengths), context)
    shares: Values = {
        "percent": _percent(len(over) - dropped, count),
        "dropped_percent": _percent(dropped, count),
    }
    return [
        Note(code="rows_over_length", values=common | {"percent": _percent(len(over), count)}),
        Note(code="answers_cut", values=common | shares | advice),
    ]


def _few(sample: RowSample, max_length: int) -> list[Note]:
    """Return a warning if at least one row is clearly longer than the maximum, although most of the long rows may not be in the sample."""
    limit = _CLEARLY * max_length
    common: Values = {"max_length": max_length}
    reviewed = sum(each.uses * each.rows_over(limit) for each in sample.characters)
    clearly = sum(row.tokens > limit for row in sample.lengths)
    if sample.is_complete and not sample.is_mixed:
        reviewed = max(reviewed, clearly)
    if reviewed:
        values = common | {"basis": "characters", "rows": max(1, round(reviewed))}
        return [Note(code="rows_over_length", values=values)]
    if clearly:
        values = common | {"basis": "sample", "percent": _percent(clearly, len(sample.lengths))}
        return [Note(code="rows_over_length", values=values)]
    return []


def _percent(part: float, whole: float) -> float:
    """Return a percentage with two significant digits."""
    return float(f"{100 * part / max(1, whole):.2g}")


def _advice(max_length: int, advised: int | None, context: int | None) -> Values:
    """Suggest a length that would cut fewer than 1 % of the rows, or splitting rows if none would. Empty if the job's length already does."""
    if advised is None or advised <= max_length:
        return {}
    if context is not None and advised > context:
        return {"advice": "split", "context": context}
    return {"advice": "raise", "advised_max_length": advised}


def _estimate_length(lengths: tuple[RowLength, ...]) -> int:
    ordered = sorted(row.tokens for row in lengths)
    longest = ordered[max(0, math.ceil((1 - ADVISED_SHARE) * len(ordered)) - 1)]
    return -(-longest // _STEP) * _STEP


def _refused(part: CountedDataset, *, is_mixed: bool) -> list[Note]:
    counts = part.counts
    if not counts.refused_rows:
        return []
    first = counts.refused[0] if counts.refused else None
    values: Values = {
        "rows": counts.refused_rows,
        "row": first.row if first else 0,
        "error": first.error if first else "",
    }
    if is_mixed:
        values |= {"basis": "mixed", "dataset": part.dataset}
    return [Note(code="rows_refused", values=values)]
