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
            reason=reason, detail=storable(detail), step=step, evidence=evidence or {}
        )


def storable(detail: str) -> str:
    """Return the end of a text that may quote a model's or a dataset's, without the surrogates that UTF-8 cannot hold."""
    return detail[-DETAIL_CHARACTERS:].encode(errors="replace").decode()


class StopRequested(Exception):
    """Someone outside wants the run to stop at the next boundary between micro-batches."""

    def __init__(self, status: Literal["cancelled", "paused", "interrupted"]) -> None:
        super().__init__(status)
        self.status = status
