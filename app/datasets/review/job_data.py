"""Warnings about the data of a job: those of its datasets, and evaluation rows that are also training rows."""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy.orm import Session

from app.datasets.review import store
from app.datasets.review.checks.copies import count_common
from app.datasets.review.findings import Review
from app.datasets.review.schemas import JobWarning
from app.datasets.review.words import warning_message
from contracts.failure import Language

Param = Literal["dataset.train", "dataset.eval"]
EVALUATION_WARNINGS = ("evaluation_rows_in_training", "held_out_copies")
"""Codes of the warnings that concern the job rather than a dataset. A new job records them as events."""

_OVERLAP: Mapping[Language, str] = {
    "en": "Evaluation rows that are also training rows: {rows} of {of}. The evaluation loss will look better than it is. "
    "Remove them from one of the two datasets.",
    "zh": "验证集中有 {rows} 条数据（共 {of} 条）也出现在训练集中，验证 loss 会偏低。请从其中一个数据集中删除这些数据。",
}
_HELD_OUT: Mapping[Language, str] = {
    "en": "Rows held out for evaluation that are also training rows, because the dataset contains duplicates: about {rows} of {of}. "
    "The evaluation loss will look better than it is. Remove the duplicates.",
    "zh": "数据集中有重复数据，划分出的 {of} 条验证数据中，约有 {rows} 条也出现在训练集中，验证 loss 会偏低。请删除重复数据。",
}


def find_job_warnings(
    session: Session,
    train_id: str | None,
    eval_id: str | None,
    held_out_rows: int,
    language: Language,
) -> list[JobWarning]:
    """Return the warnings about a job's datasets. A dataset on the hub (None) or without a review has none.

    Reads at most 8 MB of hashes per dataset.
    """
    warnings: list[JobWarning] = []
    reviews: dict[Param, Review] = {}
    used: dict[Param, str | None] = {"dataset.train": train_id, "dataset.eval": eval_id}
    for param, dataset_id in used.items():
        review = None if dataset_id is None else store.find_review(session, dataset_id)
        if review is None:
            continue
        reviews[param] = review
        if param == "dataset.eval" and eval_id == train_id:
            continue  # its warnings are listed already
        warnings += [
            JobWarning(
                param=param,
                code=finding.code,
                rows=finding.rows,
                message=warning_message(finding, review.compared_rows, language),
            )
            for finding in review.findings
        ]
    train, separate = reviews.get("dataset.train"), reviews.get("dataset.eval")
    if train_id and eval_id:
        if train and separate:
            rows = _count_overlap(session, train_id, eval_id)
            warnings += _warn(
                "evaluation_rows_in_training",
                "dataset.eval",
                rows,
                separate.reviewed_rows,
                _OVERLAP[language],
            )
    elif train and held_out_rows:
        rows = round(held_out_rows * train.statistics.rows_with_copies / train.reviewed_rows)
        warnings += _warn(
            "held_out_copies", "dataset.train", rows, held_out_rows, _HELD_OUT[language]
        )
    return warnings


def _count_overlap(session: Session, train_id: str, eval_id: str) -> int:
    train, separate = (store.find_hashes(session, each) for each in (train_id, eval_id))
    return count_common(train, separate) if train and separate else 0


def _warn(code: str, param: Param, rows: int, of: int, words: str) -> list[JobWarning]:
    if not rows:
        return []
    message = words.format(rows=f"{rows:,}", of=f"{of:,}")
    return [JobWarning(param=param, code=code, rows=rows, message=message)]
