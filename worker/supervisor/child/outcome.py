"""Determines how a training process ended, from its outcome.json or, without one, its exit code and last lines of output."""

from typing import Literal

from pydantic import ValidationError

from contracts.attempt import Outcome
from contracts.failure import Failure, FailureReason
from contracts.run.exits import explain_exit, name_rank
from contracts.run.run_dir import RunDir, count_ranks
from processes.oom import count_oom_kills
from worker.supervisor.child.process import Child

EndedAs = Literal["cancelled", "paused", "interrupted"]
"""The status of an attempt that ends because of a stop request."""


def read_outcome(
    child: Child, run_dir: RunDir, requested: EndedAs | None, hang: Failure | None = None
) -> Outcome:
    """Return how a child ended, according to its outcome.json, or else the stop request, or else its exit code.

    `hang`: why this process has killed the child; it replaces the exit code.
    """
    outcome = _read_file(run_dir)
    if outcome is not None:
        if requested is not None and outcome.status == "interrupted":
            return outcome.model_copy(update={"status": requested})
        return outcome
    if requested is not None:
        return Outcome(status=requested)
    return Outcome(status="failed", failure=hang or _failure(child, run_dir))


def _read_file(run_dir: RunDir) -> Outcome | None:
    if not run_dir.outcome.exists():
        return None
    try:
        return Outcome.model_validate_json(run_dir.outcome.read_bytes())
    except ValidationError as error:
        failure = Failure(reason=FailureReason.CRASHED, detail=f"outcome.json: {error}")
        return Outcome(status="failed", failure=failure)


def _failure(child: Child, run_dir: RunDir) -> Failure:
    has_oom_kill = count_oom_kills() > child.oom_kills
    failure = explain_exit(child.exit_code or 0, run_dir.output, ran_out_of_memory=has_oom_kill)
    # Rank 0 reports the end of any other rank itself, so without an outcome, rank 0 is the one that ended.
    return name_rank(failure, 0) if count_ranks(run_dir) > 1 else failure
