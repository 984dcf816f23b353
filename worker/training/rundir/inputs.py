"""Reads the inputs that the supervisor has written into a run directory."""

from pydantic import ValidationError

from contracts.failure import FailureReason
from contracts.job import JobSpec
from contracts.run.run_dir import Placed, RunDir, load_placed
from worker.training.errors import TrainingError


def read_spec(run_dir: RunDir) -> JobSpec:
    """Return the job. Raises TrainingError if the file is missing or invalid."""
    try:
        return JobSpec.model_validate_json(run_dir.spec.read_bytes())
    except FileNotFoundError as error:
        raise TrainingError(FailureReason.SPEC_REFUSED, "spec.json is missing") from error
    except ValidationError as error:
        raise TrainingError(FailureReason.SPEC_REFUSED, f"spec.json: {error}") from error


def read_placed(run_dir: RunDir) -> Placed:
    """Return the description of the inputs that the worker placed; the default for a manual run."""
    try:
        return load_placed(run_dir)
    except FileNotFoundError:
        return Placed()
