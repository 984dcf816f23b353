"""Downloads a dataset from the hub, converts it to JSONL and sends it to the server, which checks the rows."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from contracts.data_spec import HubDataset
from contracts.errands.errand import (
    ErrandClaim,
    ErrandFailure,
    ErrandOutcome,
    ErrandProgress,
    ImportRequest,
)
from contracts.errands.reason import ErrandReason
from contracts.failure import FailureReason
from contracts.protocol.error_codes import STORAGE_FULL
from worker.settings import Settings
from worker.supervisor.errands.prefetch import read_progress, size_of
from worker.supervisor.host.identity import slug
from worker.supervisor.host.models.hub_cache import cache_dir
from worker.supervisor.placing.hub import DatasetRequest, HubProblem, fetch
from worker.supervisor.server.answers import Refused, ServerUnavailable

_REASONS = {
    HubProblem.NOT_FOUND: ErrandReason.DATASET_NOT_FOUND,
    HubProblem.GATED: ErrandReason.DATASET_GATED,
    HubProblem.SPLIT_NOT_FOUND: ErrandReason.SPLIT_NOT_FOUND,
    HubProblem.HAS_SCRIPT: ErrandReason.DATASET_HAS_SCRIPT,
    HubProblem.TOO_LARGE: ErrandReason.DATASET_TOO_LARGE,
    HubProblem.UNREADABLE: ErrandReason.DATASET_UNREADABLE,
    HubProblem.MEMORY: ErrandReason.MEMORY_LIMIT,
    HubProblem.TIME: ErrandReason.TIME_LIMIT,
}


class Sender(Protocol):
    """Sends the rows to the server."""

    def __call__(self, rows: Path, commit: str, pulse: Callable[[], object], /) -> None:
        """Send a JSONL file. Raises Refused or ServerUnavailable."""


def run_import(
    claim: ErrandClaim,
    request: ImportRequest,
    send: Sender,
    *,
    directory: Path,
    settings: Settings,
    environ: Mapping[str, str],
    pulse: Callable[[ErrandProgress | None], object],
) -> ErrandOutcome | None:
    """Import a dataset. Return the failure, or None if the server has received the rows, which ends the errand.

    `directory` holds the rows until the server has them; it must belong to this worker alone. Calls pulse regularly with the progress;
    stops the download if pulse raises. A separate process does the download, as for a job (placing/hub_process.py); only it
    gets the hub's token.
    """
    if not settings.hub:
        return _failed(ErrandReason.DOWNLOAD_FAILED, "this worker does not download from the hub")
    blobs = cache_dir(environ) / f"datasets--{request.hub.replace('/', '--')}" / "blobs"
    before = size_of(blobs)
    with _emptied(directory):
        rows, size_file = directory / "rows.jsonl", directory / "size.json"
        source = HubDataset(
            hub=request.hub, config=request.config, split=request.split, revision=request.revision
        )
        answer = fetch(
            DatasetRequest(
                source=source,
                target=rows,
                size_file=size_file,
                limit_bytes=claim.limit_bytes,
                memory_bytes=settings.hub_memory_bytes,
            ),
            environ,
            os.getpid(),
            lambda: pulse(read_progress(size_file, size_of(blobs) - before)),
            settings.import_seconds,
        )
        if answer.failure is not None:
            reason = ErrandReason.DOWNLOAD_FAILED
            if answer.failure.reason is FailureReason.DISK_FULL:
                reason = ErrandReason.DISK_FULL
            elif answer.problem is not None:
                reason = _REASONS[answer.problem]
            return _failed(reason, answer.failure.detail)
        total = rows.stat().st_size
        try:
            send(
                rows,
                answer.commit or "",
                lambda: pulse(ErrandProgress(bytes_done=total, bytes_total=total)),
            )
        except ServerUnavailable as error:
            is_full = error.code == STORAGE_FULL
            reason = ErrandReason.DISK_FULL if is_full else ErrandReason.DOWNLOAD_FAILED
            return _failed(reason, f"the server did not accept the rows: {error}")
        except Refused as refusal:
            if refusal.status == 413:
                return _failed(ErrandReason.DATASET_TOO_LARGE, str(refusal))
            return _failed(ErrandReason.CRASHED, f"the server rejected the request: {refusal}")
    return None


def import_dir(settings: Settings, worker_id: str) -> Path:
    """Return the directory of a worker's imports. A killed worker leaves it behind; the next worker deletes it at startup."""
    return settings.work_dir.resolve() / f"import-{slug(worker_id)}"


@contextmanager
def _emptied(directory: Path) -> Iterator[None]:
    """Create an empty directory, and delete it at the end of the block."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _failed(reason: ErrandReason, detail: str) -> ErrandOutcome:
    return ErrandOutcome(failure=ErrandFailure(reason=reason, detail=detail[-5000:]))
