"""The samples of rows of plain text: a job joins them and splits them into samples of `training.max_length` tokens."""

import math
from dataclasses import dataclass

from app.plans.rows.sample import RowSample
from app.plans.rows.tokens import band_of
from app.plans.schemas import Quantity
from contracts.job import JobSpec


@dataclass(frozen=True)
class Packing:
    """The approximate number of samples into which the rows of a job are packed."""

    per_row: float
    """Samples per row."""
    train: int
    evaluation: int
    steps: Quantity


def pack_rows(spec: JobSpec, sample: RowSample, train_rows: int, eval_rows: int) -> Packing | None:
    """Return the samples of rows of which some are documents; None if the sample of the rows is empty.

    Without token counts, all rows are taken as documents.
    """
    most = spec.training.max_length
    if sample.counts is not None and sample.counts.tokens:
        counts = sample.counts
        kept = counts.conversations - counts.at(most).dropped_rows
        samples = kept + counts.document_tokens / most
        per_row = samples / max(1.0, counts.conversations + counts.documents)
    elif sample.lengths:
        per_row = sum(row.tokens for row in sample.lengths) / most / len(sample.lengths)
    else:
        return None
    per_row = max(per_row, 1 / most)  # a document ends with a token, however short it is
    train, band = per_row * train_rows, band_of(sample)
    return Packing(
        per_row=per_row,
        train=max(1, round(train)),
        evaluation=max(1, round(per_row * eval_rows)) if eval_rows else 0,
        steps=Quantity(
            value=_steps(spec, train),
            low=_steps(spec, train * (1 - band)),
            high=_steps(spec, train * (1 + band)),
            basis="exact"
            if spec.training.max_steps is not None
            else "sample"
            if sample.counts is None
            else "measured",
        ),
    )


def _steps(spec: JobSpec, samples: float) -> int:
    return spec.total_steps(max(1, math.ceil(samples)))
