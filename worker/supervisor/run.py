"""Handles one ring of the doorbell: claim → run the attempt → claim again, until there is no job left.

Start reading here, then continue in attempt.py.
"""

from collections.abc import Mapping

import structlog

from contracts.attempt import WorkerInfo
from worker.settings import Settings
from worker.supervisor.attempt import Slot, run_attempt
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.stopping import Stopped, stop_on_sigterm
from worker.supervisor.child.strays import reap_strays
from worker.supervisor.host.gpu_lock import (
    DeviceBusy,
    LockDirRefused,
    find_lock_dir,
    hold_device,
    take_turn,
)
from worker.supervisor.host.identity import slot_name, with_current_state, worker_home
from worker.supervisor.server.answers import Refused, ServerUnavailable
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)


def run_next(
    settings: Settings, worker: WorkerInfo, environ: Mapping[str, str], guard: DeviceGuard
) -> int:
    """Run jobs until none is left, the device fails or this worker must stop; return the number of attempts run."""
    home = worker_home(settings.work_dir, worker.worker_id)
    home.mkdir(parents=True, exist_ok=True)
    reap_strays(home.parent)  # those of every worker on this host
    with stop_on_sigterm(settings.term_seconds) as stop:
        try:
            with (
                hold_device(find_lock_dir(settings, worker.device), slot_name(worker)) as lock_fd,
                Server(
                    settings.server_url,
                    settings.worker_token.get_secret_value(),
                    settings.claim_patience_seconds,
                    settings.patience_seconds,
                    stop.wait,
                ) as server,
            ):
                return _run_all(Slot(settings, environ, worker, home, lock_fd, server, stop, guard))
        except (DeviceBusy, LockDirRefused) as error:
            log.warning("not claiming", reason=str(error))
        except (ServerUnavailable, Refused, Stopped) as error:
            log.warning("could not claim", reason=f"{type(error).__name__}: {error}")
    return 0


def _run_all(slot: Slot) -> int:
    ended = 0
    while not slot.stop.is_set:
        is_usable = slot.guard.is_device_usable(slot.lock_fd, slot.stop)
        state: dict[str, object] = {"device_check": slot.guard.state}
        if slot.guard.is_idle:
            # We hold the lock and no child is alive, so any earlier attempt on this device has ended.
            state["idle"] = take_turn(slot.lock_fd)
        current = with_current_state(slot.worker, slot.settings).model_copy(update=state)
        if not is_usable:
            slot.server.hello(current)  # tells the server that this worker's device has failed
            break
        claim = slot.server.claim(current)
        if claim is None:
            break
        with structlog.contextvars.bound_contextvars(
            job_id=claim.job_id, attempt_id=claim.attempt_id
        ):
            run_attempt(slot, claim)
        ended += 1
    return ended
