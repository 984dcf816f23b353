"""DatasetStatus: whether an uploaded dataset can be used. Large files are checked after the response."""

from enum import StrEnum


class DatasetStatus(StrEnum):
    """The state of an uploaded dataset."""

    VALIDATING = "validating"  # stored, and waiting for its check or being checked
    READY = "ready"
    FAILED = "failed"  # the check found problems; no job can use it
