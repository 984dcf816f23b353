"""Time left for a running job: the remaining steps, later evaluations, and the rest of the current evaluation."""

from app.db.tables import Job
from contracts.job import JobSpec, Phase
from contracts.run.plan import count_evaluations_after


def eta_seconds(job: Job, spec: JobSpec) -> float | None:
    """Return the time left in seconds, or None if part of it cannot be estimated yet."""
    if job.total_steps is None or job.phase not in {Phase.TRAINING, Phase.EVALUATING}:
        return None
    steps_left = max(0, job.total_steps - job.step)
    if steps_left and job.seconds_per_step is None:
        return None
    training = steps_left * (job.seconds_per_step or 0.0)
    evaluations = count_evaluations_after(job.step, job.total_steps, spec.evaluation.every_steps)
    if job.phase is not Phase.EVALUATING or job.rows_total is None:
        return round(training + max(1, evaluations) * (job.eval_seconds or 0.0), 1)
    if job.rows_seconds_left is None:
        return None
    current_evaluation = (job.rows_seconds or 0.0) + job.rows_seconds_left
    each = current_evaluation if job.eval_seconds is None else job.eval_seconds
    return round(job.rows_seconds_left + training + evaluations * each, 1)
