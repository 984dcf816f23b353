"""Reporter: syncs one attempt with the server. It sends new data and receives the requested action."""

from collections import deque
from datetime import datetime
from functools import partial

import structlog
from pydantic import ValidationError

from contracts.attempt import Claim, RowProgress, SyncRequest, SystemSample, Wanted
from contracts.job import Phase
from contracts.run.run_dir import RunDir
from worker.supervisor.reporting.lease import Lease
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.reporting.output import Output
from worker.supervisor.reporting.records import Follow
from worker.supervisor.server.answers import Refused, ServerUnavailable, Superseded
from worker.supervisor.server.client import Server

MAX_SAMPLES = 500
"""Maximum number of system samples kept while the server is unreachable."""

log = structlog.get_logger(__name__)


class Reporter:
    """Syncs one attempt with the server. While the server is unreachable, records stay on disk, so none is lost."""

    def __init__(self, claim: Claim, server: Server, run_dir: RunDir) -> None:
        self._claim = claim
        self._server = server
        self._run_dir = run_dir
        self._follow = Follow(run_dir.records)
        self._output = Output(run_dir.output)
        self._lease = Lease(claim.sync_seconds, claim.flush_seconds)
        self.notes = Notes()
        """The notes of this attempt's supervisor."""
        self._phase: Phase | None = None
        self._phase_is_news = False
        self._was_unavailable = False
        self._reported_rows: RowProgress | None = None
        self._samples: deque[SystemSample] = deque(maxlen=MAX_SAMPLES)
        self._sampled = 0
        self.wanted = Wanted.CONTINUE
        """The action that the server's last response requested."""

    def enter(self, phase: Phase | None) -> None:
        """Set the supervisor's own phase; None once the training program reports its own phases."""
        self._phase = phase
        self._phase_is_news = phase is not None

    def note_system(self, values: dict[str, float], at: datetime) -> None:
        """Queue a sample of the host's load; if the server stays unreachable for long, the oldest samples are dropped."""
        if values:
            self._sampled += 1
            self._samples.append(SystemSample(seq=self._sampled, at=at, values=values))

    def pulse(self) -> Wanted:
        """Sync if due and return the requested action. Raises Superseded; an unreachable server is not an error."""
        if not self._lease.is_due(has_news=True):
            return self.wanted
        request = self._news(whole=False)
        has_news = self._phase_is_news or request.rows != self._reported_rows or _is_news(request)
        if self._lease.is_due(has_news):
            try:
                self._sync(request)
            except ServerUnavailable as error:
                self._note_unavailable(str(error))
            except Refused as refusal:
                if refusal.status < 500:
                    raise
                self._note_unavailable(str(refusal))
        return self.wanted

    def drain(self) -> None:
        """Sync until the server has all records and output that are on disk. Retries within the time limit for results."""
        request = self._news(whole=True)
        while True:
            self._server.persist(self._claim, partial(self._sync, request))
            request = self._news(whole=True)
            if not _is_news(request):
                return

    @property
    def last_seq(self) -> int:
        """Number of the last complete record on disk."""
        return self._follow.last_seq

    @property
    def damage(self) -> str | None:
        """Why the records on disk are damaged; None if they are not."""
        return self._follow.damage

    def _news(self, whole: bool) -> SyncRequest:
        return SyncRequest(
            records=self._follow.batch(),
            output=self._output.chunk(whole),
            samples=list(self._samples),
            phase=self._phase,
            notes=self.notes.pending(),
            # Read after the records; see rundir/counter.py of the training program.
            rows=self._rows() if self._phase is None else None,
        )

    def _rows(self) -> RowProgress | None:
        """Return how many rows the training program has processed in its current phase; None if it is not counting rows."""
        try:
            return RowProgress.model_validate_json(self._run_dir.progress.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _sync(self, request: SyncRequest) -> None:
        self._lease.trying()
        try:
            reply = self._server.sync(self._claim, request)
        except Refused as refusal:
            if refusal.status == 401:  # the server no longer has this attempt
                raise Superseded(refusal.status, refusal.code, str(refusal)) from refusal
            raise
        self._lease.renewed()
        self._follow.acknowledge(reply.acked_seq)
        self._output.acknowledge(reply.acked_output)
        self.notes.acknowledge(reply.acked_note)
        while request.samples and self._samples and self._samples[0].seq <= request.samples[-1].seq:
            self._samples.popleft()
        self._phase_is_news = False
        self._reported_rows = request.rows
        if reply.wanted is not self.wanted:
            log.info("the server requests another action", wanted=reply.wanted)
            self.wanted = reply.wanted
        if self._was_unavailable:
            log.info("the server is reachable again")
            self._was_unavailable = False

    def _note_unavailable(self, reason: str) -> None:
        self._lease.failed()
        if not self._was_unavailable:
            log.warning("the server is unreachable; the attempt continues", reason=reason)
            self._was_unavailable = True


def _is_news(request: SyncRequest) -> bool:
    return bool(request.records or request.samples or request.notes) or request.output is not None
