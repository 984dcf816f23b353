"""Warnings about the data of a job: those about its datasets, and those about rows that occur in several of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.datasets.review import store
from app.datasets.review.checks.copies import count_common, merge
from app.datasets.review.findings import Review
from app.datasets.review.schemas import JobWarning
from app.datasets.review.words import count_words, warning_message
from contracts.failure import Language


class Used(NamedTuple):
    """A dataset that a job uses."""

    param: str
    """The path of the field that names it."""
    dataset_id: str | None
    """None for a dataset on the hub."""
    held_out_rows: int = 0
    """Number of its rows that the job holds out for evaluation."""


EVALUATION_WARNINGS = ("evaluation_rows_in_training", "held_out_copies")
"""Codes of the warnings that concern the job rather than a dataset. A new job records them as events."""

_OVERLAP: Mapping[Language, str] = {
    "en": "Evaluation rows that are also training rows: {rows} of {of}. The evaluation loss will be too low. "
    "Remove them from one of the two datasets.",
    "zh": "验证集中有{rows}条数据（共 {of} 条）也出现在训练集中，验证 loss 会偏低。请从其中一个数据集中删除这些数据。",
}
_HELD_OUT: Mapping[Language, str] = {
    "en": "Rows held out for evaluation that are also training rows, because the dataset contains duplicates: {rows} of {of}. "
    "The evaluation loss will be too low. Remove the duplicates.",
    "zh": "数据集中有重复数据，划分出的 {of} 条验证数据中，有{rows}条也出现在训练集中，验证 loss 会偏低。请删除重复数据。",
}
_SHARED: Mapping[Language, str] = {
    "en": "Rows of {dataset} that are also in an earlier dataset of this job: {rows}. They are used more often than their "
    "weights say, and one copy may be held out for evaluation while the other is used for training. Remove them from one of the datasets.",
    "zh": "{dataset} 中有{rows}条数据也出现在此任务前面的数据集中：它们的实际使用次数会超过权重，还可能同时出现在训练集和验证集中。"
    "请从其中一个数据集中删除。",
}


def find_job_warnings(
    session: Session, train: Sequence[Used], evaluation: Used | None, language: Language
) -> list[JobWarning]:
    """Return the warnings about a job's datasets. A dataset on the hub or without a review has none.

    Reads at most 1.6 MB of hashes per dataset.
    """
    warnings: list[JobWarning] = []
    reviewed: list[tuple[Used, Review]] = []
    for used in (*train, *([evaluation] if evaluation else [])):
        review = None if used.dataset_id is None else store.find_review(session, used.dataset_id)
        if review is None:
            continue
        is_listed = any(used.dataset_id == other.dataset_id for other, _ in reviewed)
        reviewed.append((used, review))
        if is_listed:
            continue
        warnings += [
            JobWarning(
                param=used.param,
                code=finding.code,
                rows=finding.rows,
                message=warning_message(finding, review.compared_rows, language),
            )
            for finding in review.findings
        ]
    hashed = [
        (used, dump)
        for used, _ in reviewed
        if used is not evaluation
        and (dump := store.find_hashes(session, used.dataset_id or "")) is not None
    ]
    warnings += _find_shared_rows(hashed, language)
    if evaluation is None:
        return warnings + _find_held_out_copies(reviewed, language)
    separate = next((review for used, review in reviewed if used is evaluation), None)
    if separate is not None and hashed:
        warnings += _find_overlap(session, hashed, evaluation, separate, language)
    return warnings


def _find_shared_rows(hashed: Sequence[tuple[Used, bytes]], language: Language) -> list[JobWarning]:
    """Return, for each training dataset, how many of its rows are also in an earlier one."""
    warnings: list[JobWarning] = []
    for place in range(1, len(hashed)):
        used, dump = hashed[place]
        earlier = merge(each for _, each in hashed[:place])
        rows, is_exact = count_common(earlier, dump)
        counted = count_words(rows, language, is_exact=is_exact)
        message = _SHARED[language].format(rows=counted, dataset=used.dataset_id)
        warnings += _warn("rows_in_several_datasets", used.param, rows, message)
    return warnings


def _find_overlap(
    session: Session,
    hashed: Sequence[tuple[Used, bytes]],
    evaluation: Used,
    separate: Review,
    language: Language,
) -> list[JobWarning]:
    dump = store.find_hashes(session, evaluation.dataset_id or "")
    if dump is None:  # deleted in the meantime
        return []
    rows, is_exact = count_common(merge(each for _, each in hashed), dump)
    words = {
        "rows": count_words(rows, language, is_exact=is_exact),
        "of": f"{separate.reviewed_rows:,}",
    }
    message = _OVERLAP[language].format(**words)
    return _warn("evaluation_rows_in_training", evaluation.param, rows, message)


def _find_held_out_copies(
    reviewed: Sequence[tuple[Used, Review]], language: Language
) -> list[JobWarning]:
    warnings: list[JobWarning] = []
    for used, review in reviewed:
        copies = review.statistics.rows_with_copies
        rows = round(used.held_out_rows * copies / review.reviewed_rows)
        words = {
            "rows": count_words(rows, language, is_exact=False),
            "of": f"{used.held_out_rows:,}",
        }
        message = _HELD_OUT[language].format(**words)
        warnings += _warn("held_out_copies", used.param, rows, message)
    return warnings


def _warn(code: str, param: str, rows: int, message: str) -> list[JobWarning]:
    return [JobWarning(param=param, code=code, rows=rows, message=message)] if rows else []
