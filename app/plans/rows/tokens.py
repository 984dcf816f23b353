"""The tokens of a job: counted by a worker, taken from a finished job on the same rows with the same model, or estimated from characters."""

from collections.abc import Sequence
from typing import NamedTuple

from app.plans.corrections import exact, unknown
from app.plans.memory import Load
from app.plans.rows.counted import EpochCounts
from app.plans.rows.sample import RowLength, RowSample
from app.plans.schemas import Basis, Note, Quantity, TokenForecast
from contracts.job import JobSpec

_SAMPLE_BAND = 0.25
"""Relative error of an estimate from characters."""
_SCALED_BAND = 0.1
"""Relative error after a finished job has measured the tokens of the rows at another `max_length`."""
_FINISHED_BAND = 0.03
"""Relative error after a finished job with the same `max_length`: different rows may be held out."""
_COUNTED_BAND, _SAMPLED_BAND = 0.01, 0.05
"""Relative error if a worker has counted the tokens of all rows, and if it has counted those of a random sample."""
_MOST_FACTOR, _HALVINGS = 16.0, 20
"""Bounds of the search for the factor between estimated and measured lengths."""
_DEFAULT_SUPERVISED = 0.5


class RowTokens(NamedTuple):
    """The tokens that a finished job measured on the same rows."""

    max_length: int
    tokens_per_row: float
    supervised_share: float | None


class Tokens(NamedTuple):
    """A forecast, and the figures from it that later computations use."""

    forecast: TokenForecast
    load: Load
    per_row: float | None
    training: float | None
    supervised: float


def forecast_tokens(
    spec: JobSpec, sample: RowSample | None, earlier: RowTokens | None, row_passes: float | None
) -> Tokens:
    """Forecast the tokens of a job.

    `sample`: None for rows that the server does not read. `earlier`: the newest finished job on the same rows.
    `row_passes`: number of rows processed in all steps; None if unknown.
    """
    most = spec.training.max_length
    counts = None if sample is None else sample.counts
    if sample is not None and earlier is not None and counts is None:
        sample = _scaled(sample, earlier)
    lengths = [min(most, row.tokens) for row in sample.lengths] if sample else []
    is_text = sample is not None and sample.is_text
    # Documents are not cut.
    whole = [row.tokens for row in sample.lengths] if sample and is_text else lengths
    reason = Note(code="rows_unknown" if sample is None else "rows_unreadable")
    if counts is not None and counts.tokens:
        per_row, supervised = _counted(counts, most)
    else:
        per_row = _per_row(whole, earlier, most, reason)
        supervised = _supervised(sample, earlier, most, reason)
    longest = _longest(lengths, sample, most)
    training = unknown("steps_unknown")
    if row_passes is not None:
        training = _times(per_row, row_passes * _kept_share(spec, counts))
    if per_row.value is None:
        training = per_row
    share = supervised.value if supervised.value is not None else _DEFAULT_SUPERVISED
    batch = spec.effective_batch_size
    window = batch * longest if len(lengths) < batch else sum(sorted(lengths)[-batch:])
    unread = Quantity(reason=reason)
    per_batch = spec.training.per_device_batch_size
    basis: Basis = "sample" if counts is None else "measured"
    band = _SAMPLE_BAND if sample is None else band_of(sample)
    forecast = TokenForecast(
        per_row=per_row,
        longest=_estimate(longest, band, most, basis) if lengths else unread,
        training=training,
        supervised_share=supervised,
        padding_saved=exact(0.0)
        if per_batch == 1 or is_text
        else _padding(lengths, per_batch, basis)
        if lengths
        else unread,
        note=_how_to_count(spec, sample) if per_row.basis == "sample" else None,
    )
    load = Load(longest, max(longest, window), share)
    return Tokens(forecast, load, per_row.value, training.value, share)


def band_of(sample: RowSample) -> float:
    """Return the relative error of a mean length."""
    return _SAMPLE_BAND if sample.counts is None else _band(sample.counts)


def _counted(counts: EpochCounts, most: int) -> tuple[Quantity, Quantity]:
    """Return the mean number of tokens per row that a job keeps, and the share of supervised tokens."""
    cut = counts.at(most)
    tokens = cut.tokens + counts.document_tokens
    rows = counts.conversations - cut.dropped_rows + counts.documents
    share = (cut.trained_tokens + counts.document_tokens) / max(1, tokens)
    band = _band(counts)
    return (
        _estimate(tokens / max(1, rows), band, basis="measured"),
        _estimate(min(1.0, share), band, 1.0, "measured"),
    )


def _band(counts: EpochCounts) -> float:
    return _COUNTED_BAND if counts.is_complete else _SAMPLED_BAND


def _kept_share(spec: JobSpec, counts: EpochCounts | None) -> float:
    """Return the share of the rows that a job keeps. With `max_steps`, other rows replace the dropped ones."""
    if counts is None or not counts.conversations or spec.training.max_steps is not None:
        return 1.0
    rows = counts.conversations + counts.documents
    return 1 - counts.at(spec.training.max_length).dropped_rows / rows


def _how_to_count(spec: JobSpec, sample: RowSample | None) -> Note:
    counted = {part.dataset for part in sample.counted} if sample else set()
    missing = [part.name for part in spec.dataset.parts if part.name not in counted]
    values: dict[str, float | int | str] = {
        "dataset": missing[0] if missing else spec.dataset.parts[0].name,
        "model": spec.model,
    }
    if spec.dataset.is_mixed:
        values |= {"basis": "mixed", "datasets": ", ".join(missing)}
    return Note(code="tokens_estimated", values=values)


def _scaled(sample: RowSample, earlier: RowTokens) -> RowSample:
    """Scale the sample's lengths so that their truncated mean equals the mean that the finished job measured."""
    most, goal = earlier.max_length, earlier.tokens_per_row * len(sample.lengths)
    low, high = 1 / _MOST_FACTOR, _MOST_FACTOR
    for _ in range(_HALVINGS):
        factor = (low * high) ** 0.5
        is_low = sum(min(most, factor * row.tokens) for row in sample.lengths) < goal
        low, high = (factor, high) if is_low else (low, factor)
    scaled = [
        RowLength(max(1, round(high * row.tokens)), round(high * row.supervised))
        for row in sample.lengths
    ]
    counted = sum(_supervised_tokens(row, most) for row in scaled)
    if earlier.supervised_share is not None and counted:
        answers = earlier.supervised_share * goal / counted
        scaled = [
            row._replace(supervised=min(row.tokens, round(answers * row.supervised)))
            for row in scaled
        ]
    return sample._replace(lengths=tuple(scaled))


def _per_row(
    lengths: Sequence[int], earlier: RowTokens | None, most: int, reason: Note
) -> Quantity:
    if earlier is not None and earlier.max_length == most:
        return _estimate(earlier.tokens_per_row, _FINISHED_BAND, basis="model")
    if not lengths:
        return Quantity(reason=reason)
    mean = sum(lengths) / len(lengths)
    if earlier is not None:
        return _estimate(mean, _SCALED_BAND, basis="model")
    return _estimate(mean, _SAMPLE_BAND)


def _supervised(
    sample: RowSample | None, earlier: RowTokens | None, most: int, reason: Note
) -> Quantity:
    if earlier is not None and earlier.supervised_share is not None and earlier.max_length == most:
        return _estimate(earlier.supervised_share, _FINISHED_BAND, 1.0, "model")
    if sample is None or not sample.lengths:
        return Quantity(reason=reason)
    total = sum(min(most, row.tokens) for row in sample.lengths)
    counted = sum(_supervised_tokens(row, most) for row in sample.lengths)
    is_scaled = earlier is not None and earlier.supervised_share is not None
    share = min(1.0, counted / max(1, total))
    if is_scaled:
        return _estimate(share, _SCALED_BAND, 1.0, "model")
    return _estimate(share, _SAMPLE_BAND, 1.0)


def _supervised_tokens(row: RowLength, most: int) -> int:
    """Return the supervised tokens after truncation, which removes the end of a row: usually its answer."""
    return max(0, row.supervised - max(0, row.tokens - most))


def _longest(lengths: Sequence[int], sample: RowSample | None, most: int) -> int:
    """Return the tokens of the longest row. Rows that are not in the sample are assumed to be at most twice as long."""
    if not lengths or sample is None or sample.is_text:
        return most
    longest = max(lengths)  # the sample of a complete count contains the longest row
    return longest if sample.is_complete else min(most, 2 * longest)


def _padding(lengths: Sequence[int], per_batch: int, basis: Basis) -> Quantity:
    """Return the share of padding in batches of consecutive rows."""
    batches = [lengths[start : start + per_batch] for start in range(0, len(lengths), per_batch)]
    padded = sum(len(batch) * max(batch) for batch in batches)
    share = 1 - sum(lengths) / max(1, padded)
    return _estimate(share, _SAMPLE_BAND, 1.0, basis)


def _times(each: Quantity, count: float) -> Quantity:
    if each.value is None or each.low is None or each.high is None:
        return each
    return Quantity(
        value=each.value * count, low=each.low * count, high=each.high * count, basis=each.basis
    )


def _estimate(
    value: float, band: float, most: float | None = None, basis: Basis = "sample"
) -> Quantity:
    high = value * (1 + band)
    return Quantity(
        value=value,
        low=value * (1 - band),
        high=high if most is None else min(most, high),
        basis=basis,
    )
