"""The statuses of a job and the phases of an attempt. No models: a client imports this module at every start."""

from enum import StrEnum


class JobStatus(StrEnum):
    """The status of a job. Cancel and pause are requests, not states."""

    QUEUED = "queued"  # submitted or requeued; next: running, paused, cancelled
    RUNNING = "running"  # assigned to an attempt; next: any other status
    PAUSED = "paused"  # on request; next: queued (resume), cancelled
    SUCCEEDED = "succeeded"  # final: adapter and summary are available
    FAILED = "failed"  # final: `error` gives the reason
    CANCELLED = "cancelled"  # final: the training process has ended

    @property
    def is_final(self) -> bool:
        """Whether the job has ended. Only a retry can change the status of an ended job."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class Phase(StrEnum):
    """What a running attempt is currently doing."""

    PLACING = "placing"
    LOADING = "loading"
    TOKENIZING = "tokenizing"
    EVALUATING = "evaluating"
    TRAINING = "training"
    SAVING = "saving"
    UPLOADING = "uploading"
