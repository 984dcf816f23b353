"""Translates between our ids and OpenAI's. The digits are the same, so no mapping is stored."""

import re
from typing import Literal

ORGANIZATION = "stepline"
"""The organization in the names of fine-tuned models."""
ORGANIZATION_ID = "org-stepline"
TUNED = "ft:"
"""Prefix of the name of every fine-tuned model."""
SHOWN_DIGITS = 8
"""Number of the job's digits that occur in the name of its model."""
_JOB, _FINE_TUNING_JOB = "job_", "ftjob-"
_RESULTS, _ADAPTER = "file-results", "file-adapter"
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def ftjob_id(job_id: str) -> str:
    """Return OpenAI's id of a job."""
    return _FINE_TUNING_JOB + job_id.removeprefix(_JOB)


def job_id(given: str) -> str:
    """Return our id of a job. Any other text is returned unchanged, and is not the id of any job."""
    if given.startswith(_FINE_TUNING_JOB):
        return _JOB + given.removeprefix(_FINE_TUNING_JOB)
    return given


def tuned_model(base: str, suffix: str | None, job_id: str) -> str:
    """Return the name of the model that a job trains. Colons and other separators in the suffix become hyphens."""
    part = _NOT_IN_NAMES.sub("-", suffix or "").strip("-")[:64]
    return f"{TUNED}{base}:{ORGANIZATION}:{part}:{shown_digits(job_id)}"


def shown_digits(job_id: str) -> str:
    """Return the digits of a job that occur in the name of its model and in the ids of its events."""
    return job_id.removeprefix(_JOB)[:SHOWN_DIGITS]


def results_file(job_id: str) -> str:
    """Return the id of the file with a job's metrics."""
    return _RESULTS + job_id.removeprefix(_JOB)


def adapter_file(job_id: str) -> str:
    """Return the id of the file with a job's adapter."""
    return _ADAPTER + job_id.removeprefix(_JOB)


def written_file(file_id: str) -> tuple[Literal["results", "adapter"], str] | None:
    """Return the kind of a file that a job has written, and the job's id; None for any other id."""
    if file_id.startswith(_RESULTS):
        return "results", _JOB + file_id.removeprefix(_RESULTS)
    if file_id.startswith(_ADAPTER):
        return "adapter", _JOB + file_id.removeprefix(_ADAPTER)
    return None
