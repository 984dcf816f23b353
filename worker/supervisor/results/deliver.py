"""Delivers the results of an ended attempt: records, files, and outcome."""

import errno

import structlog
from pydantic import ValidationError

from contracts.attempt import Claim, FinishReply, FinishRequest, Outcome
from contracts.failure import Failure, FailureReason
from contracts.job import Phase
from contracts.protocol.wire import (
    ADAPTER_ARTIFACT,
    OUTPUT_ARTIFACT,
    RECORDS_ARTIFACT,
    SUMMARY_ARTIFACT,
)
from contracts.run.run_dir import RunDir
from contracts.summary import Summary
from worker.supervisor.reporting.reporter import Reporter
from worker.supervisor.results.archive import archive
from worker.supervisor.server.answers import RecordsMissing, Refused, Superseded
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)

FINISH_TRIES = 5
"""Maximum number of tries to finish an attempt; missing records are resent between tries."""


def deliver(
    claim: Claim, server: Server, reporter: Reporter, run_dir: RunDir, outcome: Outcome
) -> FinishReply:
    """Send the remaining records, upload the files, and finish the attempt."""
    reporter.enter(Phase.UPLOADING)
    reporter.drain()
    summary: Summary | None = None
    if reporter.damage is not None and outcome.status == "succeeded":
        outcome = failed(FailureReason.CRASHED, f"records.jsonl: {reporter.damage}", outcome.step)
    if outcome.status == "succeeded":
        try:
            summary = Summary.model_validate_json(run_dir.summary.read_bytes())
            _upload_results(claim, server, reporter, run_dir)
        except (FileNotFoundError, ValidationError) as error:
            detail = f"the result of the training process is incomplete: {error}"
            outcome = failed(FailureReason.CRASHED, detail, outcome.step)
        except Superseded:
            raise
        except Refused as refusal:
            outcome = failed(FailureReason.UPLOAD_FAILED, str(refusal), outcome.step)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            detail = f"while packing the adapter: {error}"
            outcome = failed(FailureReason.DISK_FULL, detail, outcome.step)
    _upload_logs(claim, server, reporter, run_dir)
    if reporter.notes.pending():  # some may have been added during the uploads
        reporter.drain()
    return finish(
        claim, server, reporter, outcome, summary if outcome.status == "succeeded" else None
    )


def finish(
    claim: Claim,
    server: Server,
    reporter: Reporter,
    outcome: Outcome,
    summary: Summary | None = None,
) -> FinishReply:
    """Finish the attempt, resending any records that the server lacks."""
    tries = 0
    while True:
        request = FinishRequest(outcome=outcome, summary=summary, last_seq=reporter.last_seq)
        try:
            return server.finish(claim, request)
        except RecordsMissing:
            tries += 1
            if tries >= FINISH_TRIES:
                raise
            log.warning("the server lacks records; resending them", last_seq=reporter.last_seq)
            reporter.drain()


def failed(reason: FailureReason, detail: str, step: int = 0) -> Outcome:
    """Return the outcome of an attempt that failed at a step."""
    failure = Failure(reason=reason, detail=detail[-20_000:])
    return Outcome(status="failed", failure=failure, step=step)


def _upload_results(claim: Claim, server: Server, reporter: Reporter, run_dir: RunDir) -> None:
    if not run_dir.adapter.is_dir():
        raise FileNotFoundError("adapter/ does not exist")
    archive(run_dir.adapter, run_dir.adapter_archive)
    server.upload(claim, ADAPTER_ARTIFACT, run_dir.adapter_archive, reporter.pulse)
    server.upload(claim, SUMMARY_ARTIFACT, run_dir.summary, reporter.pulse)


def _upload_logs(claim: Claim, server: Server, reporter: Reporter, run_dir: RunDir) -> None:
    for name, path in ((OUTPUT_ARTIFACT, run_dir.output), (RECORDS_ARTIFACT, run_dir.records)):
        if not path.exists():
            continue
        try:
            server.upload(claim, name, path, reporter.pulse)
        except Superseded:
            raise
        except Refused as refusal:
            log.warning("the server rejected a file", name=name, reason=str(refusal))
