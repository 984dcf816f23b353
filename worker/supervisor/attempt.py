"""One attempt, from claim to finish: place the model and the data → start the child → follow it → deliver the results.

Each step has its own package. This module calls them in order and decides how to handle errors. A job never crashes
the worker: any error ends only its attempt, with a typed failure.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from contracts.attempt import Claim, Outcome, Wanted, WorkerInfo
from contracts.base import utc_now
from contracts.failure import Failure, FailureReason
from contracts.job import Phase
from contracts.run.run_dir import RunDir
from worker.settings import Settings
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.outcome import read_outcome
from worker.supervisor.child.process import start_child
from worker.supervisor.child.silence import Silence
from worker.supervisor.child.stopping import StopFlag, Stopped, Stopping, ended_as
from worker.supervisor.host.cards.held_cards import HeldCard
from worker.supervisor.host.clock import boottime
from worker.supervisor.host.system import System
from worker.supervisor.mirror.mirror import Mirror
from worker.supervisor.placing.models import PlacingFailed
from worker.supervisor.placing.place import Placer, tidy
from worker.supervisor.reporting.reporter import Reporter
from worker.supervisor.results.checkpoints import Uploads
from worker.supervisor.results.deliver import deliver, failed, finish
from worker.supervisor.server.answers import Refused, ServerUnavailable, Superseded
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)

LAST_SECONDS = 60.0
"""How long an attempt waits for the server to store its newest checkpoint, unless it was paused."""
MIRROR_SECONDS = 5.0
"""How long the delivery of an attempt waits for a mirror that has neither started its run nor failed, as after a job of a few seconds."""
RESERVED_GRACE = 0.3
"""Fraction of a stopping worker's grace period that is reserved for handing the job back."""


@dataclass(frozen=True)
class Slot:
    """The state shared by all attempts of one worker, and the cards of the current attempt."""

    settings: Settings
    environ: Mapping[str, str]
    worker: WorkerInfo
    cards: tuple[HeldCard, ...]
    """This worker's own card, then the borrowed ones."""
    server: Server
    stop: StopFlag
    guard: DeviceGuard

    @property
    def home(self) -> Path:
        """The worker's directory."""
        return self.cards[0].home


def run_attempt(slot: Slot, claim: Claim) -> None:
    """Run one attempt and deliver its results. Never raises an error that concerns only this attempt."""
    log.info("claimed", number=claim.number, model=claim.spec.model, gpus=claim.gpus)
    run_dir = RunDir(slot.home / claim.attempt_id)
    reporter = Reporter(claim, slot.server, run_dir)
    keep_run, has_failed = True, True
    mirror = Mirror(claim, run_dir, slot.settings, slot.environ, reporter.notes)
    uploads = Uploads(
        claim, lambda: _connect_without_retries(slot.settings), run_dir, reporter.notes
    )

    def begin() -> None:
        if claim.spec.checkpoint.upload == "always":
            uploads.start()
        mirror.start()

    try:
        outcome = _train(slot, claim, run_dir, reporter, begin)
        has_failed = outcome.status == "failed"
        outcome = slot.guard.explain(outcome, slot.cards, slot.stop, reporter.pulse)
        log.info("ended", outcome=outcome.model_dump(mode="json", exclude_defaults=True))
        if outcome.failure is not None and outcome.failure.reason is FailureReason.DEVICE_FAILED:
            slot.guard.mark_failed(
                outcome.failure, slot.cards
            )  # before the server can requeue the job
        mirror.end(failed=has_failed)  # it sends the rest while the results are delivered
        _store_last_checkpoint(slot, claim, reporter, uploads, outcome)
        if not slot.stop.is_set and outcome.status in {"succeeded", "failed"}:
            mirror.settle(MIRROR_SECONDS)
        reply = deliver(claim, slot.server, reporter, run_dir, outcome)
        # A job that has not succeeded may return to this worker and resume from the files on this disk.
        has_checkpoints = run_dir.checkpoints.is_dir() and reply.job_status != "succeeded"
        keep_run = outcome.status == "failed" or has_checkpoints
        log.info("delivered", job_status=reply.job_status)
    except Superseded as refusal:
        log.warning("another attempt has taken over or the job has ended", reason=str(refusal))
    except (ServerUnavailable, Stopped) as error:
        log.error("could not deliver results", reason=f"{type(error).__name__}: {error}")  # noqa: TRY400  # expected, so no traceback
    except Refused as refusal:
        log.error("the server rejected the attempt's request", reason=str(refusal))  # noqa: TRY400  # expected, so no traceback
        _give_up(slot, claim, reporter, f"The server rejected the worker's report: {refusal}")
    except Exception:
        log.exception("the supervisor failed while delivering the results")
        _give_up(slot, claim, reporter, f"Error in the supervisor:\n{traceback.format_exc()}")
    finally:
        uploads.stop()
        mirror.end(failed=has_failed)
        tidy(run_dir, keep_run, slot.settings.kept_runs)


def _train(
    slot: Slot,
    claim: Claim,
    run_dir: RunDir,
    reporter: Reporter,
    begin: Callable[[], None],
) -> Outcome:
    """Place the model and the data, then train; call `begin` once the training process has started. Raises Refused or ServerUnavailable; any other error becomes an Outcome."""

    def pulse() -> None:
        status = ended_as(reporter.pulse(), slot.stop.is_set)
        if status is not None:
            raise Stopped(status)

    try:
        if slot.worker.device.kind == "cuda" and len(slot.cards) != claim.gpus:
            detail = (
                f"The server assigned {claim.gpus} GPUs, but the worker holds {len(slot.cards)}."
            )
            return failed(FailureReason.CRASHED, detail)
        reporter.enter(Phase.PLACING)
        placer = Placer(
            claim, slot.server, slot.settings, slot.environ, pulse=pulse, notes=reporter.notes
        )
        placer.place(run_dir)
        reporter.enter(None)
        return _follow(slot, run_dir, reporter, begin)
    except PlacingFailed as failure:
        return Outcome(status="failed", failure=failure.failure)
    except Stopped as stopped:
        return Outcome(status=stopped.status)
    except (Refused, ServerUnavailable):
        raise
    except Exception:
        log.exception("the supervisor failed")
        return failed(FailureReason.CRASHED, f"Error in the supervisor:\n{traceback.format_exc()}")


def _follow(slot: Slot, run_dir: RunDir, reporter: Reporter, begin: Callable[[], None]) -> Outcome:
    """Start the training process and follow it until it ends, or end it if it hangs and cannot report that itself."""
    settings = slot.settings
    process = start_child(run_dir, slot.cards, slot.environ)
    log.info("training process started", pid=process.pid)
    stopping = Stopping(process, run_dir, settings.control_seconds, settings.term_seconds)
    silence = Silence(process.pid, run_dir, settings.hang_seconds)
    hang: Failure | None = None
    wanted, was_stopped = Wanted.CONTINUE, False
    begin()
    try:
        devices = [card.device for card in slot.cards]
        with System(
            devices, process.pid, settings.system_seconds, directory=run_dir.path
        ) as system:
            while not process.wait(settings.poll_seconds):
                reporter.note_system(system.look(), utc_now())
                wanted, was_stopped = reporter.pulse(), slot.stop.is_set
                stopping.follow(wanted, was_stopped)
                if ended_as(wanted, was_stopped) is not None:
                    continue  # `stopping` limits how long that takes
                hang = silence.look()
                if hang is not None:
                    log.error("the training process hangs; killing it", detail=hang.detail)
                    break  # if it cannot be killed, the attempt must not look as if it still ran
    finally:
        process.kill()  # after a takeover or an error here, it must not run unsupervised
        while not process.wait(settings.term_seconds):
            log.error(
                "could not kill the training process; it still occupies its device", pid=process.pid
            )
    if len(slot.cards) > 1 and not process.wait_for_group(settings.term_seconds):
        log.warning("a rank has not ended yet; it may still occupy its card", pid=process.pid)
    log.info("training process ended", exit_code=process.exit_code)
    return read_outcome(process, run_dir, ended_as(wanted, was_stopped), hang)


def _store_last_checkpoint(
    slot: Slot, claim: Claim, reporter: Reporter, uploads: Uploads, outcome: Outcome
) -> None:
    """Upload the newest checkpoint to the server's storage before the attempt ends, if the spec requests it.

    A paused attempt waits until the checkpoint is stored or the time limit for results is reached. Other attempts wait
    up to a minute. If the worker is stopping, the wait ends early enough to hand the job back within the grace period.
    """
    upload = claim.spec.checkpoint.upload
    statuses = {
        "always": ("paused", "interrupted", "failed"),
        "on_pause": ("paused", "interrupted"),
    }
    if outcome.status not in statuses.get(upload, ()):
        return
    patience = slot.settings.patience_seconds if outcome.status == "paused" else LAST_SECONDS
    give_up_at = boottime() + patience
    reporter.enter(Phase.UPLOADING)
    uploads.finish(
        reporter.pulse,
        lambda: (
            boottime() >= give_up_at
            or slot.stop.left < RESERVED_GRACE
            or reporter.wanted is Wanted.CANCEL
        ),
    )


def _connect_without_retries(settings: Settings) -> Server:
    """Return a separate client that never retries, for a thread that paces its own calls."""
    return Server(settings.server_url, "", 0, 0)


def _give_up(slot: Slot, claim: Claim, reporter: Reporter, detail: str) -> None:
    """Report only that the attempt failed; without a report, the job would have to wait until the lease expires."""
    try:
        finish(claim, slot.server, reporter, failed(FailureReason.CRASHED, detail))
    except (Refused, ServerUnavailable, Stopped) as error:
        log.error("could not report failure", reason=f"{type(error).__name__}: {error}")  # noqa: TRY400  # expected, so no traceback
