"""A table of bad and good runs, each with the verdicts that it must get and those that it must not get."""

import math
from dataclasses import dataclass
from typing import Any

from contracts.summary import Summary
from contracts.verdicts.verdict import VerdictCode
from tests.factories import make_summary

V = VerdictCode
SPOILED = {V.DIVERGED, V.DEGENERATE_DATA, V.LEAKED_EVALUATION, V.FEW_EVAL_ROWS}
PRAISE = {
    V.PERPLEXITY_EXCELLENT,
    V.PERPLEXITY_GOOD,
    V.NOT_OVERFITTED,
    V.EVAL_BELOW_TRAIN,
    V.EVAL_STILL_FALLING,
    V.GAP_UNCHANGED,
    V.IMPROVED,
}


def run(
    train: list[float],
    evaluations: dict[int, float],
    *,
    eval_loss: float | None = None,
    first: float | None = None,
    interval: float | None = 0.02,
    **changes: Any,
) -> Summary:
    """Return the summary of a run with the reference batch size. Each train loss belongs to one ten-step window.

    `evaluations` maps steps to eval losses; step 0 is the base model, if evaluated. `first` is the loss of the first step;
    if it is None, the summary is from an earlier version and has no recent train loss either. `interval` is half the
    width of the improvement interval.
    """
    steps = 10 * len(train)
    base = evaluations.get(0)
    final = list(evaluations.values())[-1] if eval_loss is None else eval_loss
    figures: dict[str, Any] = {
        "steps": steps,
        "train_loss": math.fsum(train) / len(train),
        "windows": [{"step": 10 * (n + 1), "loss": loss} for n, loss in enumerate(train)],
        "evaluations": [{"step": step, "loss": loss} for step, loss in evaluations.items()],
        "eval_loss": final,
        "base_eval_loss": base,
        "eval_rows": 100,
        "train_rows": 1600,
    }
    if first is not None:
        figures |= {"first_step_loss": first, "recent_train_loss": train[-1]}
    if base is not None and interval is not None:
        fall = base - final
        figures["improvement_interval"] = {"low": fall - interval, "high": fall + interval}
    return make_summary(**(figures | changes))


def facts(
    train: tuple[int, int, int, int] = (1600, 1600, 1600, 1),
    evaluation: tuple[int, int, int, int] = (100, 100, 100, 1),
    overlap: int = 0,
    exact: int = 0,
) -> dict[str, Any]:
    """Return data facts. Each split is given as (rows, distinct rows, distinct answers, rows with the most frequent answer)."""
    names = ("rows", "distinct_rows", "distinct_answers", "top_answer_rows")
    return {
        "train": dict(zip(names, train, strict=True)),
        "evaluation": dict(zip(names, evaluation, strict=True)),
        "overlapping_rows": exact,
        "overlapping_rows_normalized": overlap,
    }


HEALTHY: dict[str, Any] = {
    "train": [1.8, 1.6, 1.5, 1.45],
    "evaluations": {0: 2.0, 40: 1.5},
    "first": 2.05,
}


def healthy(**changes: Any) -> Summary:
    """Return the summary of a run that lowered the eval loss from 2.0 to 1.5."""
    return run(**(HEALTHY | changes))


@dataclass(frozen=True)
class Case:
    name: str
    summary: Summary
    gets: set[VerdictCode]
    never: set[VerdictCode]


BAD = [
    Case(
        "learning rate 0.5: loss rises from 2.0 to 84",
        run([60, 90, 80, 84], {0: 2.0, 40: 84.0}, first=2.0),
        {V.DIVERGED, V.WORSE_THAN_BASE, V.PERPLEXITY_NEEDS_WORK},
        PRAISE | {V.OVERFITTED},
    ),
    Case(
        "the same in a summary from an earlier version",
        run([120, 100, 90, 84], {0: 2.0, 40: 84.0}, interval=None),
        {V.DIVERGED},
        PRAISE | {V.OVERFITTED},
    ),
    Case(
        "the same without an evaluation of the base",
        run([120, 100, 90, 84], {40: 84.0}),
        {V.DIVERGED},
        PRAISE,
    ),
    Case(
        "a loss that is not a number",
        run([2.0, 1.9, math.nan], {0: 2.0, 30: math.nan}, first=2.0, interval=None),
        {V.DIVERGED, V.WORSE_THAN_BASE},
        PRAISE,
    ),
    Case(
        "an infinite loss",
        run([2.0, 1.9, math.inf], {0: 2.0, 30: math.inf}, first=2.0, interval=None),
        {V.DIVERGED, V.WORSE_THAN_BASE},
        PRAISE,
    ),
    Case(
        "improved at first, but ended above the base",
        run([1.6, 1.2, 1.4, 2.4], {0: 2.0, 20: 1.2, 40: 2.5}, first=2.05),
        {V.DIVERGED, V.WORSE_THAN_BASE},
        PRAISE,
    ),
    Case(
        "diverged from a poor base",
        run([8.9, 9.1, 8.8, 8.5], {0: 6.8, 40: 8.6}, first=6.9),
        {V.DIVERGED},
        PRAISE,
    ),
    Case(
        "five steps at learning rate 0.5",
        make_summary(
            steps=5,
            train_loss=71.0,
            first_step_loss=2.1,
            recent_train_loss=71.0,
            windows=[{"step": n + 1, "loss": x} for n, x in enumerate([2.1, 84, 120, 90, 60])],
            base_eval_loss=2.0,
            eval_loss=60.0,
            evaluations=[{"step": 0, "loss": 2.0}, {"step": 5, "loss": 60.0}],
        ),
        {V.DIVERGED},
        PRAISE,
    ),
    Case(
        "diverged, and early stopping kept the untrained adapter",
        run([30, 60, 80], {0: 2.0, 10: 50, 20: 60, 30: 84}, eval_loss=2.0, first=2.0),
        {V.DIVERGED, V.NOT_IMPROVED},
        PRAISE | {V.OVERFITTED},
    ),
    Case(
        "eval loss below train loss, but worse than the base",
        run([2.5, 2.4, 2.45, 2.5], {0: 1.5, 40: 1.7}, first=2.6),
        {V.WORSE_THAN_BASE, V.EVAL_BELOW_TRAIN},
        {V.DIVERGED, V.IMPROVED, V.OVERFITTED},
    ),
    Case(
        "a slightly too high learning rate: worse, but not diverged",
        run([2.0, 2.0, 1.95, 1.95], {0: 1.7, 40: 1.9}, first=1.75),
        {V.WORSE_THAN_BASE, V.NOT_OVERFITTED},
        {V.DIVERGED, V.OVERFITTED, V.IMPROVED},
    ),
    Case(
        "overfitted: minimum early, then eval loss rises while train loss falls",
        run([1.8, 1.5, 1.2, 0.9], {0: 2.0, 10: 1.6, 20: 1.55, 30: 1.7, 40: 1.9}, first=2.05),
        {V.OVERFITTED, V.IMPROVED},
        {V.NOT_OVERFITTED, V.EVAL_STILL_FALLING, V.DIVERGED},
    ),
    Case(
        "the same in a summary from an earlier version",
        run([1.8, 1.5, 1.2, 0.9], {0: 2.0, 10: 1.6, 20: 1.55, 30: 1.7, 40: 1.9}),
        {V.OVERFITTED},
        {V.NOT_OVERFITTED, V.EVAL_STILL_FALLING, V.GAP_UNCHANGED},
    ),
    Case(
        "overfitted although train loss and eval loss are close",
        run([1.9, 1.8, 1.78, 1.75], {0: 2.0, 20: 1.75, 40: 1.88}, first=2.05),
        {V.OVERFITTED},
        {V.NOT_OVERFITTED},
    ),
    Case(
        "memorised: eval loss at its minimum, train loss near zero",
        run([1.5, 0.8, 0.3, 0.05], {0: 2.0, 20: 1.5, 40: 1.4}, first=2.05),
        {V.OVERFITTED},
        {V.EVAL_STILL_FALLING, V.NOT_OVERFITTED},
    ),
    Case(
        "memorised, worse than the base, but not diverged",
        run([1.5, 0.8, 0.3, 0.05], {0: 2.0, 20: 2.2, 40: 3.5}, first=2.05),
        {V.OVERFITTED, V.WORSE_THAN_BASE},
        {V.DIVERGED, *PRAISE},
    ),
    Case(
        "constant answers",
        healthy(evaluations={0: 2.0, 40: 0.01}, data=facts(train=(1600, 1600, 1, 1600))),
        {V.DEGENERATE_DATA},
        PRAISE,
    ),
    Case(
        "nine of ten answers are the same",
        healthy(data=facts(train=(1600, 1600, 100, 1440))),
        {V.DEGENERATE_DATA},
        PRAISE,
    ),
    Case(
        "constant answers only in the evaluation rows",
        healthy(data=facts(evaluation=(100, 100, 1, 100))),
        {V.DEGENERATE_DATA},
        PRAISE,
    ),
    Case(
        "40 identical rows",
        healthy(eval_rows=8, data=facts((32, 1, 1, 32), (8, 1, 1, 8), overlap=8, exact=8)),
        {V.DEGENERATE_DATA, V.LEAKED_EVALUATION},
        PRAISE,
    ),
    Case(
        "8 identical rows",
        healthy(data=facts(train=(8, 1, 1, 8))),
        {V.DEGENERATE_DATA},
        PRAISE,
    ),
    Case(
        "every evaluation row is also a training row",
        healthy(data=facts(overlap=100, exact=100), overlapping_rows=100),
        {V.LEAKED_EVALUATION},
        PRAISE | {V.ROWS_OVERLAP},
    ),
    Case(
        "a third of the evaluation rows are training rows with an extra space",
        healthy(data=facts(overlap=33, exact=0)),
        {V.LEAKED_EVALUATION},
        PRAISE | {V.ROWS_OVERLAP},
    ),
    Case(
        "a third of the evaluation rows are training rows, in a summary from an earlier version",
        run([1.8, 1.5], {0: 2.0, 20: 1.4}, overlapping_rows=33),
        {V.LEAKED_EVALUATION},
        PRAISE | {V.ROWS_OVERLAP},
    ),
    Case(
        "leaked and still worse than the base",
        healthy(evaluations={0: 1.5, 40: 1.8}, data=facts(overlap=50)),
        {V.LEAKED_EVALUATION, V.WORSE_THAN_BASE},
        PRAISE,
    ),
    Case(
        "one evaluation row",
        healthy(eval_rows=1, interval=0.0, data=facts(evaluation=(1, 1, 1, 1))),
        {V.FEW_EVAL_ROWS},
        PRAISE | {V.DEGENERATE_DATA},
    ),
    Case(
        "an excellent base that training did not improve",
        run([0.72, 0.71, 0.7, 0.7], {0: 0.7, 40: 0.7}, first=0.71),
        {V.NOT_IMPROVED, V.PERPLEXITY_OF_BASE},
        {V.PERPLEXITY_EXCELLENT, V.IMPROVED, V.DIVERGED},
    ),
    Case(
        "an excellent base that training made worse",
        run([0.72, 0.75, 0.8, 0.8], {0: 0.7, 40: 0.8}, first=0.71),
        {V.WORSE_THAN_BASE, V.PERPLEXITY_OF_BASE},
        {V.PERPLEXITY_EXCELLENT, V.IMPROVED, V.DIVERGED},
    ),
    Case(
        "a learning rate of almost 0",
        run([2.0, 2.02, 1.98, 2.01], {0: 2.0, 40: 2.0}, first=2.05, interval=0.0),
        {V.NOT_IMPROVED, V.PERPLEXITY_NEEDS_WORK},
        {V.IMPROVED, V.DIVERGED, V.OVERFITTED},
    ),
    Case(
        "an improvement within the noise, in a summary without an interval",
        run([2.0, 2.0], {0: 2.0, 20: 1.99}, interval=None),
        {V.NOT_IMPROVED},
        {V.IMPROVED},
    ),
]

GOOD = [
    Case(
        "healthy",
        healthy(data=facts()),
        {V.PERPLEXITY_GOOD, V.NOT_OVERFITTED, V.IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "very good",
        run([1.4, 1.0, 0.9, 0.85], {0: 2.4, 20: 1.0, 40: 0.9}, first=2.4, data=facts()),
        {V.PERPLEXITY_EXCELLENT, V.NOT_OVERFITTED, V.IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "no evaluation of the base",
        run([1.8, 1.6, 1.5], {30: 1.52}),
        {V.PERPLEXITY_GOOD, V.NOT_OVERFITTED},
        SPOILED | {V.IMPROVED, V.NOT_IMPROVED, V.OVERFITTED},
    ),
    Case(
        "train loss of the whole run far above the recent train loss",
        run([5.0, 3.0, 1.2, 1.0], {0: 6.0, 40: 1.02}, first=6.0),
        {V.NOT_OVERFITTED, V.PERPLEXITY_EXCELLENT, V.IMPROVED},
        SPOILED | {V.EVAL_BELOW_TRAIN},
    ),
    Case(
        "evaluation rows harder than training rows by the same gap as before training",
        run([1.7, 1.6, 1.5, 1.5], {0: 2.4, 40: 2.0}, first=1.8),
        {V.GAP_UNCHANGED, V.IMPROVED},
        SPOILED | {V.OVERFITTED, V.NOT_OVERFITTED},
    ),
    Case(
        "evaluation rows easier than training rows, as before training",
        run([2.5, 2.3, 2.2, 2.2], {0: 2.0, 40: 1.7}, first=2.6),
        {V.EVAL_BELOW_TRAIN, V.IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "third epoch: a gap, but eval loss still falls",
        run([1.9, 1.7, 1.4, 1.2], {0: 2.0, 20: 1.7, 30: 1.6, 40: 1.55}, first=2.05),
        {V.EVAL_STILL_FALLING, V.IMPROVED},
        SPOILED | {V.OVERFITTED, V.NOT_OVERFITTED},
    ),
    Case(
        "memorised templates: losses so small that their ratio is meaningless",
        run([0.5, 0.1, 0.03, 0.01], {0: 2.0, 40: 0.025}, first=2.0, data=facts()),
        {V.NOT_OVERFITTED, V.PERPLEXITY_EXCELLENT, V.IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "early stopping kept the best adapter",
        run(
            [1.8, 1.5, 1.1, 0.8],
            {0: 2.0, 10: 1.7, 20: 1.55, 30: 1.7, 40: 1.9},
            eval_loss=1.55,
            first=2.05,
        ),
        {V.NOT_OVERFITTED, V.IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "early stopping kept an adapter from before the divergence",
        run([1.8, 1.6, 20.0, 80.0], {0: 2.0, 20: 1.6, 30: 30.0}, eval_loss=1.6, first=2.0),
        {V.IMPROVED},
        SPOILED,
    ),
    Case(
        "a spike that the run recovered from",
        run([1.8, 40.0, 1.7, 1.6], {0: 2.0, 40: 1.62}, first=2.0),
        {V.IMPROVED, V.NOT_OVERFITTED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "training rows far harder than evaluation rows",
        run([4.0, 3.4, 3.0, 2.9], {0: 1.5, 40: 1.4}, first=4.2),
        {V.EVAL_BELOW_TRAIN, V.IMPROVED},
        SPOILED,
    ),
    Case(
        "one row of 2,000 in common",
        healthy(eval_rows=2000, data=facts(evaluation=(2000, 2000, 2000, 1), overlap=1, exact=1)),
        {V.ROWS_OVERLAP, V.PERPLEXITY_GOOD, V.IMPROVED},
        SPOILED,
    ),
    Case(
        "sentiment labels: only two distinct answers",
        healthy(data=facts((1600, 1600, 2, 900), (100, 100, 2, 60))),
        {V.IMPROVED},
        SPOILED,
    ),
    Case(
        "each training row three times, evaluated on other rows",
        healthy(data=facts(train=(4800, 1600, 1600, 3))),
        {V.IMPROVED},
        SPOILED,
    ),
    Case(
        "ten evaluation rows that happen to have the same label",
        healthy(eval_rows=10, data=facts(evaluation=(10, 10, 1, 10))),
        {V.IMPROVED},
        SPOILED,
    ),
    Case(
        "truncated and dropped rows",
        healthy(truncated_rows=3, dropped_rows=2),
        {V.ROWS_TRUNCATED, V.ROWS_DROPPED, V.IMPROVED},
        SPOILED,
    ),
    Case(
        "five steps with an easy last batch",
        make_summary(
            steps=5,
            train_loss=2.0,
            first_step_loss=2.1,
            recent_train_loss=2.0,
            windows=[{"step": n + 1, "loss": x} for n, x in enumerate([2.1, 2.0, 2.2, 2.1, 1.6])],
            base_eval_loss=2.05,
            eval_loss=1.95,
            improvement_interval={"low": 0.05, "high": 0.15},
        ),
        {V.NOT_OVERFITTED, V.IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "twenty steps of one sample each, the first one easy, evaluated on easier rows",
        make_summary(
            steps=20,
            per_device_batch_size=1,
            gradient_accumulation_steps=1,
            train_loss=2.4,
            first_step_loss=0.9,
            recent_train_loss=2.4,
            windows=[{"step": n, "loss": 2.0 + n % 4 / 4} for n in range(2, 21, 2)],
            base_eval_loss=1.1,
            eval_loss=1.11,
            evaluations=[{"step": 0, "loss": 1.1}, {"step": 20, "loss": 1.11}],
            improvement_interval={"low": -0.05, "high": 0.03},
        ),
        {V.NOT_IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
    Case(
        "five steps of one sample each, in a summary from an earlier version",
        make_summary(
            steps=5,
            per_device_batch_size=1,
            gradient_accumulation_steps=1,
            train_loss=2.0,
            windows=[{"step": n + 1, "loss": x} for n, x in enumerate([0.9, 2.0, 3.2, 1.1, 2.8])],
            base_eval_loss=2.05,
            eval_loss=2.06,
            improvement_interval={"low": -0.1, "high": 0.1},
        ),
        {V.NOT_IMPROVED},
        SPOILED | {V.OVERFITTED},
    ),
]
