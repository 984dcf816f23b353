"""Summaries of runs to judge, built from a few figures. The runs themselves are in bad_runs.py and good_runs.py."""

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
