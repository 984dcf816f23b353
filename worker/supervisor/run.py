"""Handles one ring of the doorbell: claim → run the attempt → claim again, until there is no job left.

Start reading here, then continue in attempt.py.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from contracts.attempt import WorkerInfo
from worker.settings import Settings
from worker.supervisor.attempt import Slot, run_attempt
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.stopping import StopFlag, Stopped, stop_on_sigterm
from worker.supervisor.child.strays import reap_strays
from worker.supervisor.host.cards.gpu_lock import (
    DeviceBusy,
    LockDirRefused,
    find_lock_dir,
    hold_device,
    take_turn,
)
from worker.supervisor.host.cards.held_cards import HeldCard, Loan
from worker.supervisor.host.claim_turn import ClaimTurn, longest_turn_seconds, turn_path
from worker.supervisor.host.identity import slot_name, slug, with_current_state, worker_home
from worker.supervisor.host.siblings import list_siblings
from worker.supervisor.server.answers import Refused, ServerUnavailable
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)

BORROWED_SECONDS = 1.0
"""A card that has been locked for this long is in use by an attempt; a claim takes milliseconds."""


def run_next(
    settings: Settings,
    worker: WorkerInfo,
    environ: Mapping[str, str],
    guard: DeviceGuard,
    pass_on: Callable[[], object] = lambda: None,
) -> int:
    """Run jobs until none is left, the device fails or this worker must stop; return the number of attempts run.

    While a sibling has borrowed this worker's card, wait until it is free, and call `pass_on` once to ring for another
    worker.
    """
    home = worker_home(settings.work_dir, worker.worker_id)
    home.mkdir(parents=True, exist_ok=True)
    reap_strays(home.parent)  # those of every worker on this host
    with stop_on_sigterm(settings.term_seconds) as stop:
        try:
            lock_dir, name = find_lock_dir(settings, worker.device), slot_name(worker)
            is_alone = not list_siblings(lock_dir, worker, name)
            path = None if is_alone else turn_path(lock_dir, slug(worker.host_id))
            longest_seconds = longest_turn_seconds(settings.claim_patience_seconds)
            wait = _Wait(stop, pass_on)
            patience_seconds = 5.0 if is_alone else float("inf")
            with (
                ClaimTurn(path, worker.worker_id, longest_seconds, wait.shortly) as turn,
                hold_device(lock_dir, name, patience_seconds, wait.for_card) as lock_fd,
                Server(
                    settings.server_url,
                    settings.worker_token.get_secret_value(),
                    settings.claim_patience_seconds,
                    settings.patience_seconds,
                    stop.wait,
                ) as server,
            ):
                card = HeldCard(worker.device, lock_fd, home)
                slot = Slot(settings, environ, worker, (card,), server, stop, guard)
                return _run_all(slot, lock_dir, turn)
        except (DeviceBusy, LockDirRefused) as error:
            log.warning("not claiming", reason=str(error))
        except (ServerUnavailable, Refused, Stopped) as error:
            log.warning("could not claim", reason=f"{type(error).__name__}: {error}")
    return 0


def _run_all(slot: Slot, lock_dir: Path, turn: ClaimTurn) -> int:
    ended = 0
    while not slot.stop.is_set:
        own = slot.cards[0]
        is_usable = slot.guard.is_device_usable(own, slot.stop)
        state: dict[str, object] = {"device_check": slot.guard.state}
        if slot.guard.is_idle:
            # We hold the lock and no child is alive, so any earlier attempt on this device has ended.
            state["idle"] = take_turn(own.lock_fd)
        current = with_current_state(slot.worker, slot.settings).model_copy(update=state)
        if not is_usable:
            slot.server.hello(current)  # reports that this worker's device has failed
            break
        # A worker that had no siblings when its ring arrived cannot borrow cards until the next ring.
        may_borrow = turn.take()
        siblings = (
            list_siblings(lock_dir, slot.worker, slot_name(slot.worker)) if may_borrow else []
        )
        with Loan.borrow(lock_dir, siblings) as loan:
            on_cpu = own.device.kind == "cpu"
            free_cards = slot.settings.cpu_ranks if on_cpu else 1 + len(loan.cards)
            held = (own, *loan.cards)
            uuids = [each.device.uuid for each in held if each.device.uuid is not None]
            claim = slot.server.claim(current, free_cards, uuids)
            if claim is None:
                break  # the turn ends after this worker's own card is free again
            if claim.cards:
                loan.keep_only(claim.cards)
            else:  # the server runs an earlier version
                loan.keep(claim.gpus - 1)
            turn.give_back()
            with structlog.contextvars.bound_contextvars(
                job_id=claim.job_id, attempt_id=claim.attempt_id
            ):
                run_attempt(replace(slot, cards=(own, *loan.cards)), claim)
        ended += 1
    return ended


class _Wait:
    """Waits for locks until this worker must stop; then raises Stopped."""

    def __init__(self, stop: StopFlag, pass_on: Callable[[], object]) -> None:
        self._stop = stop
        self._pass_on = pass_on
        self._waited_seconds = 0.0
        self._has_passed_on = False

    def shortly(self, seconds: float) -> None:
        if self._stop.is_set:
            raise Stopped("interrupted")
        time.sleep(seconds)

    def for_card(self, seconds: float) -> None:
        self._waited_seconds += seconds
        if self._waited_seconds >= BORROWED_SECONDS and not self._has_passed_on:
            self._has_passed_on = True
            log.info("waiting, because another process uses this worker's card")
            self._pass_on()
        self.shortly(seconds)
