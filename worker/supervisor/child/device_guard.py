"""DeviceGuard: a worker claims jobs only while its GPU works.

The check (card_checks.py) runs before the first claim of each worker process and after each attempt that ended with
`device_failed` or with an error that a failed device may have caused. After an attempt on several cards, the worker
still holds the locks of all of them, so it checks all of them and stores the results for the other cards' workers. CPUs
are not checked.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from contracts.attempt import DeviceCheck, Outcome, WorkerInfo
from contracts.failure import Failure, FailureReason
from worker.settings import Settings
from worker.supervisor.child.card_checks import CHECK_PROGRAM, CHECK_SECONDS, CardChecks
from worker.supervisor.child.stopping import StopFlag, Stopped
from worker.supervisor.host.cards.held_cards import HeldCard
from worker.supervisor.host.clock import boottime
from worker.supervisor.host.device_check import (
    forget_check,
    next_failed,
    next_passed,
    read_age_seconds,
    read_check,
    write_check,
)
from worker.supervisor.host.identity import worker_home

log = structlog.get_logger(__name__)

AMBIGUOUS = (FailureReason.CRASHED, FailureReason.NO_PROGRESS, FailureReason.CHILD_KILLED)
"""Failure reasons that a failed device may cause without an explicit device error."""


class DeviceGuard:
    """Tracks whether this process's device works, and stores its state for the main process and the health check."""

    def __init__(
        self,
        settings: Settings,
        worker: WorkerInfo,
        environ: Mapping[str, str],
        *,
        program: tuple[str, ...] = CHECK_PROGRAM,
        check_seconds: float = CHECK_SECONDS,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._settings = settings
        self._device = worker.device
        self._home = worker_home(settings.work_dir, worker.worker_id)
        self._clock = clock
        self._checks = CardChecks(settings, environ, program, check_seconds, clock)
        self._is_usable = worker.device.kind == "cpu"
        self._unstored: DeviceCheck | None = None
        """The newest state, if the disk was too full to store it. Otherwise it is in the file, which siblings also write."""
        self._failed_at: float | None = None
        """Time of the last failed check; None if a check is due immediately."""
        if self._is_usable:
            forget_check(self._home)  # from a time when this worker used a GPU

    @property
    def state(self) -> DeviceCheck | None:
        """The state of the GPU. It may be newer than the stored state if the disk is full."""
        if self._device.kind == "cpu":
            return None
        return self._unstored or read_check(self._home)

    @property
    def is_idle(self) -> bool:
        """Whether no check is running."""
        return self._checks.is_idle

    def is_device_usable(self, card: HeldCard, stop: StopFlag) -> bool:
        """Return whether this worker's card works; check it if a check is due. Raises Stopped."""
        self._notice_failure_in_other_process()
        if self._is_usable:
            return True
        if self._failed_at is not None:
            seconds = self._clock() - self._failed_at
            if seconds < self._settings.device_check_seconds:
                log.info("not claiming, because the device failed its last check")
                return False
        try:
            reason = self._check_and_store([card], stop, lambda: None)[0]
        except OSError as error:  # a full disk
            reason = f"the device check could not be started: {error}"
            self._failed_at = self._clock()
        if reason is not None:
            log.error("not claiming, because the device failed its check", reason=reason)
        return reason is None

    def explain(
        self,
        outcome: Outcome,
        cards: Sequence[HeldCard],
        stop: StopFlag,
        pulse: Callable[[], object],
    ) -> Outcome:
        """Return the outcome, changed to `device_failed` if a card may have caused the failure and now fails its check.

        If the attempt used several cards and one of them failed, the evidence `card` contains its UUID. Calls `pulse`
        regularly during the checks. `cards`: those of the attempt, this worker's own first.
        """
        failure = outcome.failure
        if self._device.kind == "cpu" or failure is None:
            return outcome
        is_known = failure.reason is FailureReason.DEVICE_FAILED
        if failure.reason not in AMBIGUOUS and not (is_known and len(cards) > 1):
            return outcome
        try:
            reasons = self._check_and_store(cards, stop, pulse)
        except (OSError, Stopped):  # a full disk, or a worker that must stop
            reasons = [None] * len(cards)
        failed = [(card, reason) for card, reason in zip(cards, reasons, strict=True) if reason]
        if failed:
            failure = _blame(failure, failed)
        if len(cards) > 1 and failure.reason is FailureReason.DEVICE_FAILED:
            card = failed[0][0] if failed else cards[_rank_of(failure, len(cards))]
            evidence = {**failure.evidence, "card": card.device.uuid}
            failure = failure.model_copy(update={"evidence": evidence})
        return outcome.model_copy(update={"failure": failure})

    def mark_failed(self, failure: Failure, cards: Sequence[HeldCard]) -> None:
        """Store that a card failed during an attempt. It counts as failed until it has passed a check.

        Does nothing if the card is already known to have failed its check.
        """
        if self._device.kind == "cpu":
            return
        uuid = failure.evidence.get("card", self._device.uuid)
        other = next((card for card in cards[1:] if card.device.uuid == uuid), None)
        if other is None and self._is_usable:
            self._is_usable, self._failed_at = False, None
            self._store(next_failed(self.state, failure.detail, pending=True))
        elif other is not None:
            state = read_check(other.home)
            if state is None or state.passed:
                _store_for_sibling(other, next_failed(state, failure.detail, pending=True))

    def _notice_failure_in_other_process(self) -> None:
        """Adopt a failure of this card that a sibling stored while it held the lock. This process must hold the lock now."""
        if not self._is_usable or self._device.kind == "cpu":
            return
        state = self.state
        if state is None or state.passed:
            return
        age = read_age_seconds(self._home, time.time())
        self._is_usable = False
        self._failed_at = None if state.pending else self._clock() - max(0.0, age or 0.0)

    def _check_and_store(
        self, cards: Sequence[HeldCard], stop: StopFlag, pulse: Callable[[], object]
    ) -> list[str | None]:
        """Check cards, this worker's own first, and store the states that changed; return why each card failed.

        Raises OSError and Stopped.
        """
        own, *others = self._checks.run(cards, stop, pulse)
        self._is_usable = own is None
        if own is None:
            self._store(next_passed(self.state))
            log.info("the device passed its check")
        else:
            self._store(next_failed(self.state, own))
            self._failed_at = self._clock()
        for card, reason in zip(cards[1:], others, strict=True):
            if reason is None:
                log.info("a borrowed card passed its check", card=card.device.uuid)
            else:
                log.error("a borrowed card failed its check", card=card.device.uuid, reason=reason)
                _store_for_sibling(card, next_failed(read_check(card.home), reason))
        return [own, *others]

    def _store(self, check: DeviceCheck) -> None:
        self._unstored = check
        try:
            write_check(self._home, check)
        except OSError as error:  # a full disk; claims contain the state anyway
            log.warning("could not store the state of the device", reason=str(error))
        else:
            self._unstored = None


def _blame(failure: Failure, failed: Sequence[tuple[HeldCard, str]]) -> Failure:
    """Return the failure, attributed to one of the cards that failed their check."""
    if len(failed) == 1:
        found = failed[0][1]
    else:
        found = "\n\n".join(f"{card.device.uuid}: {reason}" for card, reason in failed)
    detail = f"After the training process had ended, the device failed its check:\n{found}\n\n{failure.detail}"
    return failure.model_copy(
        update={"reason": FailureReason.DEVICE_FAILED, "detail": detail[:20_000]}
    )


def _rank_of(failure: Failure, ranks: int) -> int:
    """Return the rank that reported the failure; 0 if unknown."""
    rank = failure.evidence.get("rank")
    return rank if isinstance(rank, int) and 0 <= rank < ranks else 0


def _store_for_sibling(card: HeldCard, check: DeviceCheck) -> None:
    try:
        card.home.mkdir(parents=True, exist_ok=True)  # its worker may not have run yet
        write_check(card.home, check)
    except OSError as error:  # a full disk; the next attempt on the card detects the failure again
        log.warning(
            "could not store the state of a borrowed card",
            card=card.device.uuid,
            reason=str(error),
        )
