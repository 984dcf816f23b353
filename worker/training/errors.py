"""The two exceptions that end a run early: a failure, and a request to stop."""

from typing import Literal

from contracts.failure import DETAIL_CHARACTERS, Failure, FailureReason

Evidence = dict[str, str | int | float | bool | None]


class TrainingError(Exception):
    """A failure with a reason that users can act on."""

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
    """Return the end of a string, with surrogates replaced because UTF-8 cannot encode them.

    Surrogates may come from a model or a dataset that the text quotes.
    """
    return detail[-DETAIL_CHARACTERS:].encode(errors="replace").decode()


class StopRequested(Exception):
    """The supervisor or a signal has requested that the run stop before the next micro-batch."""

    def __init__(self, status: Literal["cancelled", "paused", "interrupted"]) -> None:
        super().__init__(status)
        self.status = status
