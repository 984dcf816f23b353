"""Translates between our ids and OpenAI's. The digits are the same, so no table is needed."""

import re

ORGANIZATION = "stepline"
"""The organization in the names of fine-tuned models."""
ORGANIZATION_ID = "org-stepline"
SHOWN_DIGITS = 8
"""Number of a job's digits in the name of its model."""
_JOB, _FINE_TUNING_JOB = "job_", "ftjob-"
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def ftjob_id(job_id: str) -> str:
    """Return OpenAI's id of a job."""
    return _FINE_TUNING_JOB + job_id.removeprefix(_JOB)


def job_id(given: str) -> str:
    """Return our id of a job. Any other text is returned as it is, and no job has it."""
    if given.startswith(_FINE_TUNING_JOB):
        return _JOB + given.removeprefix(_FINE_TUNING_JOB)
    return given


def tuned_model(base: str, suffix: str | None, job_id: str) -> str:
    """Return the name of the model that a job trains. Colons and other separators in the suffix become hyphens."""
    part = _NOT_IN_NAMES.sub("-", suffix or "").strip("-")[:64]
    digits = job_id.removeprefix(_JOB)[:SHOWN_DIGITS]
    return f"ft:{base}:{ORGANIZATION}:{part}:{digits}"
