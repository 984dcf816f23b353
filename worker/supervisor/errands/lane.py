"""Lane: runs the errands of one kind, one after the other, in a thread of the worker's main process.

The pool process may train for days, so errands do not wait for it: they run while a job trains, and even if the GPU has failed.
A claim waits on the server, which responds as soon as there is an errand. An older server responds with 404; the lane
then claims again only after the next hello.
"""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from contracts.errands.errand import (
    MOST_NAMED_MODELS,
    PREVIEW_REVISIONS,
    ErrandClaim,
    ErrandFailure,
    ErrandKind,
    ErrandOutcome,
    ErrandProgress,
    ImportRequest,
    PrefetchRequest,
)
from contracts.errands.measurement import MeasureRequest
from contracts.errands.reason import ErrandReason
from worker.settings import Settings
from worker.supervisor.errands.importing import import_dir, run_import
from worker.supervisor.errands.measure import run_measurement
from worker.supervisor.errands.prefetch import run_prefetch
from worker.supervisor.errands.preview import run_preview
from worker.supervisor.host.models.hub_cache import list_installed
from worker.supervisor.server.answers import Refused, ServerUnavailable
from worker.supervisor.server.errands import ErrandServer

log = structlog.get_logger(__name__)

WAIT_SECONDS = 20.0
"""How long a claim waits on the server."""
PAUSE_SECONDS = 2.0
"""Pause after a failed claim."""
LONGEST_PAUSE_SECONDS = 30.0
ERRAND_SUPERSEDED = "errand_superseded"
"""The server's error code for an errand that this worker no longer holds."""
BEATS_PER_LEASE = 4
FINISH_SECONDS = 60.0
"""How long the worker tries to deliver a result."""


class ErrandLost(Exception):
    """The server has ended the errand or given it to another worker."""


@dataclass
class Lane:
    """Runs the errands of one kind. `hello` is set after each hello that the server accepts."""

    settings: Settings
    worker_id: str
    environ: Mapping[str, str]
    kind: str
    hello: threading.Event
    on_change: Callable[[], object]
    """Called after a prefetch: the models on this worker have changed."""
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self.run, name=f"errands-{self.kind}", daemon=True).start()

    def run(self) -> None:
        """Run errands until `stop` is set."""
        token = self.settings.worker_token.get_secret_value()
        pause = PAUSE_SECONDS
        if self.kind == ErrandKind.IMPORT:
            shutil.rmtree(import_dir(self.settings, self.worker_id), ignore_errors=True)
        with ErrandServer(self.settings.server_url, token) as server:
            while not self.stop.is_set():
                if not self.hello.wait(1.0):
                    continue
                try:
                    self._run_one(server)
                    pause = PAUSE_SECONDS
                except Refused as refusal:
                    # 404 means an older server. Other refusals also persist until something changes.
                    self.hello.clear()
                    if refusal.status != 404:
                        log.warning(
                            "the server rejected a claim of errands",
                            kind=self.kind,
                            reason=str(refusal),
                        )
                except ServerUnavailable as error:
                    self.stop.wait(max(pause, error.retry_after_seconds))
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                except Exception:
                    # This is the outermost handler: an error in one errand must not end the lane.
                    log.exception("an errand failed", kind=self.kind)
                    self.stop.wait(pause)

    def _run_one(self, server: ErrandServer) -> None:
        installed = list(list_installed(self.settings, self.environ))[:MOST_NAMED_MODELS]
        kinds = [self.kind]
        if self.kind == ErrandKind.PREVIEW:
            kinds.append(PREVIEW_REVISIONS)
        claim = server.claim(self.worker_id, kinds, installed, WAIT_SECONDS)
        if claim is None:
            return
        with structlog.contextvars.bound_contextvars(errand_id=claim.errand_id):
            request = claim.request
            name = request.hub if isinstance(request, ImportRequest) else request.model
            log.info("errand started", kind=self.kind, name=name)
            pulse = Pulse(server, claim)
            try:
                outcome = self._run_claimed(server, claim, pulse)
                if outcome is not None:
                    self._deliver(server, claim, outcome)
            except ErrandLost as lost:
                log.warning("errand lost", reason=str(lost))

    def _run_claimed(
        self, server: ErrandServer, claim: ErrandClaim, pulse: "Pulse"
    ) -> ErrandOutcome | None:
        """Return the outcome, or None if the server has ended the errand."""
        try:
            if isinstance(claim.request, ImportRequest):
                return run_import(
                    claim,
                    claim.request,
                    partial(self._send, server, claim),
                    directory=import_dir(self.settings, self.worker_id),
                    settings=self.settings,
                    environ=self.environ,
                    pulse=pulse,
                )
            if isinstance(claim.request, PrefetchRequest):
                outcome = run_prefetch(claim.request, self.settings, self.environ, pulse)
                self.on_change()
                return outcome
            if isinstance(claim.request, MeasureRequest):
                sha256 = claim.request.sha256
                return run_measurement(
                    claim.request,
                    lambda path: server.dataset(claim, sha256, path, pulse),
                    self.settings,
                    self.environ,
                    pulse,
                )
            return run_preview(
                claim.request, lambda: server.rows(claim), self.settings, self.environ, pulse
            )
        except (ErrandLost, ServerUnavailable):
            raise  # the server gives the errand to another worker
        except Refused as refusal:
            detail = f"The server rejected the request: {refusal}"
            return _failed(ErrandReason.DATASET_INVALID, detail)
        except Exception as error:
            log.exception("an errand crashed")
            return _failed(ErrandReason.CRASHED, type(error).__name__)

    def _send(
        self,
        server: ErrandServer,
        claim: ErrandClaim,
        rows: Path,
        commit: str,
        pulse: Callable[[], object],
    ) -> None:
        """Send the rows of an import. Raises ErrandLost, Refused or ServerUnavailable."""
        give_up_at = time.monotonic() + FINISH_SECONDS
        while True:
            try:
                server.send_rows(claim, rows, commit, pulse)
            except ServerUnavailable:
                if time.monotonic() >= give_up_at or self.stop.wait(PAUSE_SECONDS):
                    raise
                pulse()
                continue
            except Refused as refusal:
                if refusal.code == ERRAND_SUPERSEDED:
                    raise ErrandLost(str(refusal)) from refusal
                raise
            return

    def _deliver(self, server: ErrandServer, claim: ErrandClaim, outcome: ErrandOutcome) -> None:
        give_up_at = time.monotonic() + FINISH_SECONDS
        while True:
            try:
                server.finish(claim, outcome)
            except Refused as refusal:
                if refusal.status != 413 or outcome.result is None:
                    raise ErrandLost(str(refusal)) from refusal
                outcome = _failed(ErrandReason.RESULT_TOO_LARGE, str(refusal))
                continue
            except ServerUnavailable as error:
                if time.monotonic() >= give_up_at or self.stop.wait(1.0):
                    raise ErrandLost(str(error)) from error
                continue
            reason = None if outcome.failure is None else outcome.failure.reason.value
            log.info("errand ended", kind=self.kind, reason=reason)
            return


class Pulse:
    """Renews the lease of an errand while it runs. Raises ErrandLost if this worker no longer holds the errand."""

    def __init__(self, server: ErrandServer, claim: ErrandClaim) -> None:
        self._server = server
        self._claim = claim
        self._has_progress = False
        self._interval_seconds = claim.lease_seconds / BEATS_PER_LEASE
        self._next = time.monotonic() + self._interval_seconds

    def __call__(self, progress: ErrandProgress | None = None) -> None:
        """Renew the lease if it is due, or if there is progress to report for the first time."""
        now = time.monotonic()
        is_first = progress is not None and not self._has_progress
        if now < self._next and not is_first:
            return
        self._has_progress = self._has_progress or progress is not None
        self._next = now + self._interval_seconds
        try:
            self._server.beat(self._claim, progress)
        except Refused as refusal:
            raise ErrandLost(str(refusal)) from refusal
        except ServerUnavailable as error:
            # The errand may still finish before the server gives it to another worker.
            log.warning("could not renew the lease of an errand", reason=str(error))


def _failed(reason: ErrandReason, detail: str) -> ErrandOutcome:
    return ErrandOutcome(failure=ErrandFailure(reason=reason, detail=detail[-5000:]))
