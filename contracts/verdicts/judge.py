"""Judges a finished run: `judge` returns its verdicts in the order of the report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.dataset.facts import DataFacts
from contracts.verdicts.course import (
    OVERFIT_RATIO,
    SMALLEST_GAP,
    Course,
    LossPoint,
    exp_loss,
    find_divergence,
    find_gap_growth,
    find_rise,
)
from contracts.verdicts.rows import judge_evaluation_size, judge_overlap, judge_variety
from contracts.verdicts.verdict import Verdict, VerdictCode

EXCELLENT_PERPLEXITY = 3.0
"""A perplexity below this is excellent."""
GOOD_PERPLEXITY = 5.0
"""A perplexity below this is good; a higher one needs improvement."""
LARGE_GAP = 1.5
"""An eval loss above this multiple of the train loss indicates overfitting, even if the eval loss is still falling."""
NOISE_WITHOUT_INTERVAL = 0.01
"""Without a measured interval, a change counts only if it exceeds this fraction of the base model's loss."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, as input to the rules. None means not measured."""

    course: Course
    eval_loss: float
    """Evaluation loss of the saved adapter."""
    adapter_step: int
    """Step of the saved adapter; before the last step if early stopping restored the best adapter."""
    mean_train_loss: float
    eval_rows: int
    trainable_parameters: int
    all_parameters: int
    improvement: tuple[float, float] | None = None
    """95 % confidence interval of the base model's evaluation loss minus the adapter's."""
    truncated_rows: int = 0
    dropped_rows: int = 0
    given_rows: int = 0
    overlapping_rows: int = 0
    """Exact copies only; `data` also counts rows that match after normalization."""
    data: DataFacts | None = None


def judge(run: FinishedRun) -> list[Verdict]:
    """Apply every rule for which the run has figures, and return the verdicts in the order of the report."""
    diverged = _judge_divergence(run)
    overlap = _judge_overlap(run)
    problems = [
        *diverged,
        *([] if run.data is None else judge_variety(run.data)),
        *(verdict for verdict in overlap if verdict.code is VerdictCode.LEAKED_EVALUATION),
        *judge_evaluation_size(run.eval_rows),
    ]
    improvement = _judge_improvement(run)
    findings = [
        _judge_perplexity(run, improvement),
        *([] if diverged else _judge_overfitting(run)),
        _trainable_share(run),
        *improvement,
        *_count_rows(run),
        *(verdict for verdict in overlap if verdict.code is VerdictCode.ROWS_OVERLAP),
    ]
    if problems:  # favorable figures would be misleading
        findings = [verdict for verdict in findings if verdict.level != "good"]
    elif _is_no_better(improvement):
        findings = [_without_praise(verdict) for verdict in findings]
    return [*problems, *findings]


def _judge_divergence(run: FinishedRun) -> list[Verdict]:
    base, figures = run.course.base, find_divergence(run.course)
    kept_earlier = bool(run.course.trained) and run.adapter_step < run.course.trained[-1].step
    if figures is None or (kept_earlier and base is not None and run.eval_loss < base):
        return []
    return [Verdict(code=VerdictCode.DIVERGED, level="warning", figures=figures)]


def _judge_overfitting(run: FinishedRun) -> list[Verdict]:
    if run.adapter_step == 0:  # early stopping kept the untrained adapter
        return []
    train = run.course.train_loss_at(run.adapter_step)
    figures = {
        "train_loss": run.mean_train_loss,
        "recent_train_loss": train,
        "eval_loss": run.eval_loss,
    }
    trained = [point for point in run.course.trained if point.step <= run.adapter_step]
    lowest = find_rise(trained)
    if lowest is not None and train < run.course.train_loss_at(lowest.step):
        code: VerdictCode | None = VerdictCode.OVERFITTED
        figures |= {"lowest_eval_loss": lowest.loss, "lowest_eval_step": lowest.step}
    elif run.eval_loss > OVERFIT_RATIO * train and run.eval_loss - train > SMALLEST_GAP:
        code = _judge_gap(run, train, trained)
    elif train > OVERFIT_RATIO * run.eval_loss and train - run.eval_loss > SMALLEST_GAP:
        code = VerdictCode.EVAL_BELOW_TRAIN
    else:
        code = VerdictCode.NOT_OVERFITTED
    if code is None:
        return []
    level: Literal["good", "warning"] = "warning" if code is VerdictCode.OVERFITTED else "good"
    return [Verdict(code=code, level=level, figures=figures)]


def _judge_gap(run: FinishedRun, train: float, trained: Sequence[LossPoint]) -> VerdictCode | None:
    """Return the verdict on an eval loss well above the train loss. None: unknown."""
    grown = find_gap_growth(run.course, train, run.eval_loss)
    if grown is None:
        return None
    if not grown:
        return VerdictCode.GAP_UNCHANGED
    still_falls = len(trained) > 1 and trained[-1].loss <= min(point.loss for point in trained)
    if still_falls and run.eval_loss <= LARGE_GAP * train:
        return VerdictCode.EVAL_STILL_FALLING
    return VerdictCode.OVERFITTED


def _judge_perplexity(run: FinishedRun, improvement: list[Verdict]) -> Verdict:
    perplexity = exp_loss(run.eval_loss)
    figures = {"perplexity": perplexity}
    if not perplexity < GOOD_PERPLEXITY:
        return Verdict(code=VerdictCode.PERPLEXITY_NEEDS_WORK, level="warning", figures=figures)
    if run.course.base is not None and _is_no_better(improvement):
        figures["base_perplexity"] = exp_loss(run.course.base)
        return Verdict(code=VerdictCode.PERPLEXITY_OF_BASE, level="info", figures=figures)
    is_excellent = perplexity < EXCELLENT_PERPLEXITY
    code = VerdictCode.PERPLEXITY_EXCELLENT if is_excellent else VerdictCode.PERPLEXITY_GOOD
    return Verdict(code=code, level="good", figures=figures)


def _trainable_share(run: FinishedRun) -> Verdict:
    return Verdict(
        code=VerdictCode.TRAINABLE_SHARE,
        level="info",
        figures={
            "share": run.trainable_parameters / run.all_parameters,
            "trainable_parameters": run.trainable_parameters,
            "all_parameters": run.all_parameters,
        },
    )


def _judge_improvement(run: FinishedRun) -> list[Verdict]:
    base = run.course.base
    if base is None:
        return []
    fall = base - run.eval_loss
    figures = {"base_eval_loss": base, "eval_loss": run.eval_loss, "loss_fall": fall}
    noise = NOISE_WITHOUT_INTERVAL * base
    low, high = run.improvement or (fall - noise, fall + noise)
    if low > 0:
        return [Verdict(code=VerdictCode.IMPROVED, level="good", figures=figures)]
    is_worse = high < 0 or not math.isfinite(run.eval_loss)
    code = VerdictCode.WORSE_THAN_BASE if is_worse else VerdictCode.NOT_IMPROVED
    return [Verdict(code=code, level="warning", figures=figures)]


def _is_no_better(improvement: list[Verdict]) -> bool:
    return any(verdict.code is not VerdictCode.IMPROVED for verdict in improvement)


def _without_praise(verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"level": "info"}) if verdict.level == "good" else verdict


def _judge_overlap(run: FinishedRun) -> list[Verdict]:
    exact, data = run.overlapping_rows, run.data
    if data is None:
        return judge_overlap(exact, exact, max(run.eval_rows, exact))
    copies = data.overlapping_rows_normalized
    return judge_overlap(copies, exact, max(data.evaluation.rows, copies))


def _count_rows(run: FinishedRun) -> list[Verdict]:
    return [
        Verdict(code=code, level="warning", figures={"rows": count, "of": run.given_rows})
        for code, count in (
            (VerdictCode.ROWS_TRUNCATED, run.truncated_rows),
            (VerdictCode.ROWS_DROPPED, run.dropped_rows),
        )
        if count
    ]
