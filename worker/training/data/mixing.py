"""Splits the rows of one or several datasets into training and evaluation rows, and applies the weights of the datasets.

Only the rows that are used are tokenized, and each of them once: a row that is used several times is repeated by its
index. Rows are held out first, so a repeated row is never in both splits.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from contracts.failure import FailureReason
from contracts.job import JobSpec
from contracts.run.mixture import held_out_of_each, used_rows
from contracts.summary import MixedDataset
from worker.training.data.order import held_out, repetitions, selected
from worker.training.data.prepared import Data
from worker.training.data.rows import Row
from worker.training.errors import TrainingError

Parts = list[list[Row]]
"""The rows of each training dataset, in the order of the spec."""


def hold_out(parts: Parts, spec: JobSpec) -> tuple[Parts, list[Row]]:
    """Split the rows of each dataset into training rows and evaluation rows. Raises TrainingError if too few are left."""
    sizes = [len(rows) for rows in parts]
    count = spec.dataset.held_out_rows(sum(sizes))
    counts = held_out_of_each(sizes, count)
    if counts is None:
        of_each = " and ".join(str(size) for size in sizes)
        leaves = (
            "leaves a dataset without training rows"
            if len(parts) > 1
            else "leaves none to train on"
        )
        raise TrainingError(
            FailureReason.DATASET_TOO_SMALL,
            f"holding out {count} of {of_each} rows for evaluation (dataset.eval_size) {leaves}",
            evidence={"rows": sum(sizes), "eval_rows": count},
        )
    seed, first = spec.training.seed, 0
    kept: Parts = []
    evaluation: list[Row] = []
    for rows, most in zip(parts, counts, strict=True):
        chosen = set(held_out(seed, len(rows), most, first))
        kept.append([row for number, row in enumerate(rows) if number not in chosen])
        evaluation += [row for number, row in enumerate(rows) if number in chosen]
        first += len(rows)
    return kept, evaluation


def select_rows(parts: Parts, spec: JobSpec) -> Parts:
    """Return the rows of each dataset that are used: only some of them if the weight is below 1."""
    found, first = [], 0
    for rows, dataset in zip(parts, spec.dataset.parts, strict=True):
        if dataset.weight < 1:
            count = used_rows(len(rows), dataset.weight)
            chosen = selected(spec.training.seed, len(rows), count, first)
            found.append([rows[number] for number in chosen])
        else:
            found.append(rows)
        first += len(rows)
    return found


def repeat_samples(data: Data, spec: JobSpec) -> Data:
    """Repeat the samples of each dataset according to its weight. The data of a single dataset is unchanged."""
    if not spec.dataset.is_mixed:
        return data
    uses, first = [], 0
    for count, dataset in zip(data.parts, spec.dataset.parts, strict=True):
        if count:
            uses.append(
                first + repetitions(spec.training.seed, count, max(1.0, dataset.weight), first)
            )
        first += count
    order = np.concatenate([np.empty(0, np.int64), *uses])
    digest = hashlib.sha256(data.digest.encode() + order.tobytes()).hexdigest()
    return replace(data, train=data.train.picked(order), digest=digest)


def describe_mixture(parts: Sequence[int], spec: JobSpec) -> list[MixedDataset]:
    """Return how much of an epoch each of several datasets contributes; empty for a single dataset."""
    if not spec.dataset.is_mixed:
        return []
    return [
        MixedDataset(
            dataset=dataset.name,
            weight=dataset.weight,
            rows=count,
            used_rows=used_rows(count, max(1.0, dataset.weight)),
        )
        for count, dataset in zip(parts, spec.dataset.parts, strict=True)
    ]
