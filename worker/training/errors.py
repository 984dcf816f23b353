"""The two ways in which a run ends before its time: it failed, or it was told to stop."""

from typing import Literal

from contracts.failure import Failure, FailureReason

Evidence = dict[str, str | int | float | bool | None]
DETAIL_CHARACTERS = 20_000


class TrainingError(Exception):
    """A failure with a reason that a person can act on, raised where it is understood."""

    def __init__(
        self,
        reason: FailureReason,
        detail: str,
        *,
        step: int | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.failure = Failure(
            reason=reason, detail=detail[-DETAIL_CHARACTERS:], step=step, evidence=evidence or {}
        )


class StopRequested(Exception):
    """Someone outside wants the run to stop at the next boundary between micro-batches."""

    def __init__(self, status: Literal["cancelled", "paused", "interrupted"]) -> None:
        super().__init__(status)
        self.status = status
