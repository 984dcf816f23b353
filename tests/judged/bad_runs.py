"""Bad runs, each with the verdicts that it must get and those that it must never get."""

import math

from tests.factories import make_summary
from tests.judged.runs import PRAISE, Case, V, facts, healthy, run

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
