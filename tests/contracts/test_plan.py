from typing import Any

import pytest

from contracts.run.plan import count_evaluations_after, evaluation_cost
from tests.factories import make_spec


@pytest.mark.parametrize(
    ("step", "total", "every", "evaluations"),
    [
        (0, 100, 500, 1),
        (0, 100, 30, 4),  # 30, 60, 90 and the end
        (30, 100, 30, 3),
        (0, 90, 30, 3),  # the evaluation at 90 is also the final one
        (99, 100, 1, 1),
        (100, 100, 30, 0),
        (0, 1, 1, 1),
    ],
)
def test_the_plan_counts_the_remaining_evaluations(
    step: int, total: int, every: int, evaluations: int
) -> None:
    after = [s for s in range(step + 1, total + 1) if s % every == 0 or s == total]
    assert count_evaluations_after(step, total, every) == evaluations == len(after)


@pytest.mark.parametrize(
    ("changes", "evaluations", "training_row_passes"),
    [
        ({}, 2, 100),  # 7 steps; one evaluation before and one after
        ({"evaluation": {"every_steps": 2}}, 5, 100),
        ({"training": {"epochs": 3}}, 2, 300),
        ({"training": {"max_steps": 3}}, 2, 48),
        ({"training": {"max_steps": 9}}, 2, 132),  # an epoch of 100 rows and two more steps of 16
        ({"training": {"early_stopping": {}}}, 3, 100),
    ],
)
def test_the_plan_counts_the_row_passes_of_evaluation_and_training(
    changes: dict[str, Any], evaluations: int, training_row_passes: int
) -> None:
    cost = evaluation_cost(make_spec(**changes), train_rows=100, eval_rows=25)

    assert (cost.rows, cost.evaluations) == (25, evaluations)
    assert cost.row_passes == 25 * evaluations
    assert cost.training_row_passes == training_row_passes
    assert cost.share == cost.row_passes / (cost.row_passes + training_row_passes)
