"""A small reference model of jobs and attempts, which follows docs/lifecycle.md and not the server's code."""

from dataclasses import dataclass, field

from contracts.attempt import Claim

MAX_LOSSES = 3
MAX_REPEATS, MAX_JOBS = 3, 2


@dataclass(eq=False)
class ModelAttempt:
    """The expected state of an attempt."""

    job: "ModelJob"
    claim: Claim
    claim_id: str
    worker: str
    check_count: int | None
    """Number of checks that the worker's device had passed before the claim, or None if the worker does not check it."""
    started: int
    """How many times the worker had been restarted when it claimed the attempt."""
    status: str = "running"
    stored: set[int] = field(default_factory=set)
    settled_as: str | None = None

    @property
    def acked(self) -> int:
        """The highest `seq` up to which the records are stored without a gap."""
        seq = 0
        while seq + 1 in self.stored:
            seq += 1
        return seq


@dataclass(eq=False)
class ModelJob:
    """The expected state of a job."""

    id: str
    number: int
    priority: int
    status: str = "queued"
    attempts: list[ModelAttempt] = field(default_factory=list)
    cancel_requested: bool = False
    pause_requested: bool = False
    losses: int = 0
    checkpoint_step: int = 0
    checkpoint_at_loss: int = 0
    is_held: bool = False
    """Whether the queued job is waiting for the check of the device that it broke."""
    failures: list["ModelFailure"] = field(default_factory=list)

    def has_fault(self) -> bool:
        """Return whether the device has failed too often and then passed its check. Only one device fails here."""
        steps = [each.checkpoint_step for each in self.failures if each.passed and each.blames_job]
        return bool(steps) and steps.count(steps[-1]) >= MAX_REPEATS

    def settle(self, attempt: ModelAttempt, status: str, is_loss: bool = False) -> None:
        """Update the job after an attempt has ended. `continue` queues it again, or pauses or cancels it if requested."""
        attempt.status = "lost" if is_loss and attempt.status == "running" else attempt.status
        if status == "continue":
            status = self._after_loss() if is_loss else self._continue()
        self.status = attempt.settled_as = status
        self.pause_requested = False

    def _after_loss(self) -> str:
        if self.cancel_requested:
            return "cancelled"
        is_new = self.checkpoint_step > self.checkpoint_at_loss
        self.losses = 1 if is_new else self.losses + 1
        self.checkpoint_at_loss = self.checkpoint_step
        return "failed" if self.losses >= MAX_LOSSES else self._continue()

    def _continue(self) -> str:
        if self.cancel_requested:
            return "cancelled"
        return "paused" if self.pause_requested else "queued"


@dataclass(eq=False)
class ModelFailure:
    """A failure of w1's device."""

    attempt: ModelAttempt
    started: int
    """How many times the worker had been restarted when it claimed the attempt."""
    checkpoint_step: int
    passed: bool = False
    blames_job: bool = True
    blames_device: bool = True
