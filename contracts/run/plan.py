"""Estimates a job's cost before it runs: the number of evaluations and of row passes through the model."""

from contracts.base import Tolerant
from contracts.job import JobSpec


class EvaluationCost(Tolerant):
    """The cost of a job's evaluations, compared with its training. Early stopping may reduce it."""

    rows: int
    """Rows per evaluation."""
    evaluations: int
    """Number of evaluations: before, during and after training. Early stopping adds one for the best adapter."""
    row_passes: int
    """Rows processed by all evaluations. Each needs a forward pass; a training row also needs a backward pass."""
    training_row_passes: int
    """Rows processed by all optimizer steps."""
    share: float
    """`row_passes` as a share of all row passes, from 0 to 1."""


def evaluation_cost(spec: JobSpec, train_rows: int, eval_rows: int) -> EvaluationCost:
    """Return the cost of evaluations in a job with these row counts."""
    steps = spec.total_steps(train_rows)
    evaluations = 1 + count_evaluations_after(0, steps, spec.evaluation.every_steps)
    if spec.training.early_stopping is not None:
        evaluations += 1
    trained = training_row_passes(spec, train_rows, steps)
    passes = evaluations * eval_rows
    return EvaluationCost(
        rows=eval_rows,
        evaluations=evaluations,
        row_passes=passes,
        training_row_passes=trained,
        share=passes / (passes + trained),
    )


def count_evaluations_after(step: int, total_steps: int, every_steps: int) -> int:
    """Return the number of evaluations after `step`: one every `every_steps` steps, and one at the end."""
    if step >= total_steps:
        return 0
    return (total_steps - 1) // every_steps - step // every_steps + 1


def training_row_passes(spec: JobSpec, train_rows: int, steps: int) -> int:
    """Return the number of rows in `steps` windows; the last window of an epoch may be smaller."""
    batch = spec.effective_batch_size
    epochs, rest = divmod(steps, -(-train_rows // batch))
    return epochs * train_rows + min(rest * batch, train_rows)
