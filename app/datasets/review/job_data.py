"""Warnings about the data of a job: those of its datasets, and evaluation rows that are also training rows."""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy.orm import Session

from app.datasets.review import store
from app.datasets.review.checks.copies import count_common
from app.datasets.review.findings import Review
from app.datasets.review.schemas import JobWarning
from app.datasets.review.words import count_words, warning_message
from contracts.failure import Language

Param = Literal["dataset.train", "dataset.eval"]
EVALUATION_WARNINGS = ("evaluation_rows_in_training", "held_out_copies")
"""Codes of the warnings that concern the job rather than a dataset. A new job records them as events."""

_OVERLAP: Mapping[Language, str] = {
    "en": "Evaluation rows that are also training rows: {rows} of {of}. The evaluation loss will look better than it is. "
    "Remove them from one of the two datasets.",
    "zh": "验证集中有{rows}条数据（共 {of} 条）也出现在训练集中，验证 loss 会偏低。请从其中一个数据集中删除这些数据。",
}
_HELD_OUT: Mapping[Language, str] = {
    "en": "Rows held out for evaluation that are also training rows, because the dataset contains duplicates: {rows} of {of}. "
    "The evaluation loss will look better than it is. Remove the duplicates.",
    "zh": "数据集中有重复数据，划分出的 {of} 条验证数据中，有{rows}条也出现在训练集中，验证 loss 会偏低。请删除重复数据。",
}


def find_job_warnings(
    session: Session,
    train_id: str | None,
    eval_id: str | None,
    held_out_rows: int,
    language: Language,
) -> list[JobWarning]:
    """Return the warnings about a job's datasets. A dataset on the hub (None) or without a review has none.

    Reads at most 1.6 MB of hashes per dataset.
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
    if train_id and eval_id and train and separate:
        warnings += _find_overlap(session, train_id, eval_id, separate, language)
    elif train and eval_id is None and held_out_rows:
        warnings += _find_held_out_copies(train, held_out_rows, language)
    return warnings


def _find_overlap(
    session: Session, train_id: str, eval_id: str, separate: Review, language: Language
) -> list[JobWarning]:
    dumps = [store.find_hashes(session, each) for each in (train_id, eval_id)]
    if dumps[0] is None or dumps[1] is None:  # deleted meanwhile
        return []
    rows, is_exact = count_common(dumps[0], dumps[1])
    words = {
        "rows": count_words(rows, language, is_exact=is_exact),
        "of": f"{separate.reviewed_rows:,}",
    }
    message = _OVERLAP[language].format(**words)
    return _warn("evaluation_rows_in_training", "dataset.eval", rows, message)


def _find_held_out_copies(
    train: Review, held_out_rows: int, language: Language
) -> list[JobWarning]:
    rows = round(held_out_rows * train.statistics.rows_with_copies / train.reviewed_rows)
    words = {"rows": count_words(rows, language, is_exact=False), "of": f"{held_out_rows:,}"}
    return _warn("held_out_copies", "dataset.train", rows, _HELD_OUT[language].format(**words))


def _warn(code: str, param: Param, rows: int, message: str) -> list[JobWarning]:
    return [JobWarning(param=param, code=code, rows=rows, message=message)] if rows else []
