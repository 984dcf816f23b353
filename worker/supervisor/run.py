"""One ring of the doorbell: claim → place model and data → start the child → follow → deliver → claim again.

Start reading here. Each step has a module of its own; this one holds the order and decides what an error means.
The worker never dies of one job: whatever goes wrong ends that attempt with a typed failure.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from contracts.attempt import Claim, Outcome, Wanted, WorkerInfo
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.run_dir import RunDir
from worker.settings import Settings
from worker.supervisor import child
from worker.supervisor.deliver import deliver, failed, finish
from worker.supervisor.gpu_lock import DeviceBusy, hold_device
from worker.supervisor.identity import slot_name, slug, with_models_of_now
from worker.supervisor.models import PlacingFailed
from worker.supervisor.place import Placer, tidy
from worker.supervisor.reporter import Reporter
from worker.supervisor.server import Refused, Server, ServerAway, Superseded
from worker.supervisor.stopping import StopFlag, Stopped, Stopping, ended_as, stop_on_sigterm
from worker.supervisor.strays import reap_strays
from worker.supervisor.system import System

log = structlog.get_logger(__name__)


def run_next(settings: Settings, worker: WorkerInfo, environ: Mapping[str, str]) -> int:
    """Run jobs until there is none left or this worker is told to stop; return how many attempts ended here."""
    home = settings.work_dir.resolve() / "runs" / slug(worker.worker_id)
    home.mkdir(parents=True, exist_ok=True)
    reap_strays(home)
    with stop_on_sigterm(settings.term_seconds) as stop:
        try:
            with (
                hold_device(settings.work_dir / "locks", slot_name(worker)) as lock_fd,
                Server(
                    settings.server_url,
                    settings.worker_token.get_secret_value(),
                    settings.claim_patience_seconds,
                    settings.patience_seconds,
                    stop.wait,
                ) as server,
            ):
                return _run_all(_Slot(settings, environ, worker, home, lock_fd, server, stop))
        except DeviceBusy as busy:
            log.warning("not claiming", reason=str(busy))
        except (ServerAway, Refused, Stopped) as error:
            log.warning("could not claim", reason=f"{type(error).__name__}: {error}")
    return 0


@dataclass(frozen=True)
class _Slot:
    """What every attempt of this worker shares."""

    settings: Settings
    environ: Mapping[str, str]
    worker: WorkerInfo
    home: Path
    lock_fd: int
    server: Server
    stop: StopFlag


def _run_all(slot: _Slot) -> int:
    ended = 0
    while not slot.stop.is_set:
        claim = slot.server.claim(with_models_of_now(slot.worker, slot.settings))
        if claim is None:
            break
        with structlog.contextvars.bound_contextvars(
            job_id=claim.job_id, attempt_id=claim.attempt_id
        ):
            _run_attempt(slot, claim)
        ended += 1
    return ended


def _run_attempt(slot: _Slot, claim: Claim) -> None:
    """Run one attempt and hand it in. Raises nothing that concerns this attempt alone."""
    log.info("claimed", number=claim.number, model=claim.spec.model)
    run_dir = RunDir(slot.home / claim.attempt_id)
    reporter = Reporter(claim, slot.server, run_dir)
    keep_run = True
    try:
        outcome = _train(slot, claim, run_dir, reporter)
        log.info("ended", outcome=outcome.model_dump(mode="json", exclude_defaults=True))
        reply = deliver(claim, slot.server, reporter, run_dir, outcome)
        keep_run = outcome.status == "failed"
        log.info("delivered", job_status=reply.job_status)
    except Superseded as refusal:
        log.warning("the attempt is no longer ours", reason=str(refusal))
    except (ServerAway, Stopped) as error:
        log.error("could not deliver", reason=f"{type(error).__name__}: {error}")  # noqa: TRY400  # known; no traceback
    except Refused as refusal:
        log.error("the server refused the attempt's words", reason=str(refusal))  # noqa: TRY400  # known; no traceback
        _give_up(slot, claim, reporter, f"The server refused what the worker said: {refusal}")
    except Exception:
        log.exception("the supervisor failed while delivering")
        _give_up(slot, claim, reporter, f"In the supervisor:\n{traceback.format_exc()}")
    finally:
        tidy(run_dir, keep_run, slot.settings.kept_runs)


def _train(slot: _Slot, claim: Claim, run_dir: RunDir, reporter: Reporter) -> Outcome:
    """Place and train. Raises what means that nothing more can be said to the server; the rest is an Outcome."""

    def pulse() -> None:
        told = ended_as(reporter.pulse(), slot.stop.is_set)
        if told is not None:
            raise Stopped(told)

    try:
        reporter.enter(Phase.PLACING)
        Placer(claim, slot.server, slot.settings, slot.environ, pulse).place(run_dir)
        reporter.enter(None)
        return _follow(slot, run_dir, reporter)
    except PlacingFailed as failure:
        return Outcome(status="failed", failure=failure.failure)
    except Stopped as stopped:
        return Outcome(status=stopped.status)
    except (Refused, ServerAway):
        raise
    except Exception:
        log.exception("the supervisor failed")
        return failed(FailureReason.CRASHED, f"In the supervisor:\n{traceback.format_exc()}")


def _follow(slot: _Slot, run_dir: RunDir, reporter: Reporter) -> Outcome:
    """Start the training process and keep it company to its end."""
    settings = slot.settings
    process = child.start(run_dir, slot.worker.device, slot.lock_fd, slot.environ)
    log.info("training process started", pid=process.pid)
    stopping = Stopping(process, run_dir, settings.control_seconds, settings.term_seconds)
    wanted, was_stopped = Wanted.CONTINUE, False
    try:
        with System(slot.worker.device, process.pid, settings.system_seconds) as system:
            while not process.wait(settings.poll_seconds):
                reporter.note_system(system.look(), utc_now())
                wanted, was_stopped = reporter.pulse(), slot.stop.is_set
                stopping.follow(wanted, was_stopped)
    finally:
        process.kill()  # superseded, or an error here: it must not go on alone
        process.wait(settings.term_seconds)
    log.info("training process ended", exit_code=process.exit_code)
    return child.read_outcome(process, run_dir, ended_as(wanted, was_stopped))


def _give_up(slot: _Slot, claim: Claim, reporter: Reporter, detail: str) -> None:
    """Say at least that the attempt failed, so that its job does not wait for a takeover."""
    try:
        finish(claim, slot.server, reporter, failed(FailureReason.CRASHED, detail))
    except (Refused, ServerAway, Stopped) as error:
        log.error("could not finish", reason=f"{type(error).__name__}: {error}")  # noqa: TRY400  # known; no traceback
