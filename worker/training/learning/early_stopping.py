"""Early stopping: a rule that depends only on the evaluations so far."""

from collections.abc import Sequence

from contracts.job import EarlyStopping
from contracts.summary import EvalPoint


def is_stale(evaluations: Sequence[EvalPoint], rule: EarlyStopping | None) -> bool:
    """Return whether none of the last `patience` evaluations improved on the best earlier loss by more than `min_delta`."""
    if rule is None:
        return False
    best, without_improvement = float("inf"), 0
    for point in evaluations:
        if point.loss < best - rule.min_delta:
            best, without_improvement = point.loss, 0
        else:
            without_improvement += 1
    return without_improvement >= rule.patience
