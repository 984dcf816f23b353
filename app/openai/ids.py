"""Translates between our ids and OpenAI's. The digits are the same, so no mapping is stored."""

import re
from typing import Literal, NamedTuple

ORGANIZATION = "stepline"
"""The organization in the names of fine-tuned models."""
ORGANIZATION_ID = "org-stepline"
TUNED = "ft:"
"""Prefix of the name of every fine-tuned model."""
SHOWN_DIGITS = 8
"""Number of the job's digits that occur in the name of its model."""
_JOB, _FINE_TUNING_JOB = "job_", "ftjob-"
_RESULTS, _ADAPTER, _CHECKPOINT_FILE = "file-results", "file-adapter", "file-checkpoint"
_CHECKPOINT, _FINE_TUNING_CHECKPOINT = "ckpt_", "ftckpt_"
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


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


def ftckpt_id(checkpoint_id: str) -> str:
    """Return OpenAI's id of a checkpoint."""
    return _FINE_TUNING_CHECKPOINT + checkpoint_id.removeprefix(_CHECKPOINT)


def checkpoint_file(checkpoint_id: str) -> str:
    """Return the id of the file with a checkpoint's adapter."""
    return _CHECKPOINT_FILE + checkpoint_id.removeprefix(_CHECKPOINT)


class WrittenFile(NamedTuple):
    """A file that a job has written."""

    kind: Literal["results", "adapter", "checkpoint"]
    owner: str
    """Our id of the job, or of the checkpoint."""


def written_file(file_id: str) -> WrittenFile | None:
    """Return what a file id names if a job has written the file; None for any other id."""
    if file_id.startswith(_RESULTS):
        return WrittenFile("results", _JOB + file_id.removeprefix(_RESULTS))
    if file_id.startswith(_ADAPTER):
        return WrittenFile("adapter", _JOB + file_id.removeprefix(_ADAPTER))
    if file_id.startswith(_CHECKPOINT_FILE):
        return WrittenFile("checkpoint", _CHECKPOINT + file_id.removeprefix(_CHECKPOINT_FILE))
    return None
