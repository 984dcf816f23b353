"""Downloads a model into the hub's cache of this host, and reports its progress."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from contracts.errands.errand import (
    ErrandFailure,
    ErrandOutcome,
    ErrandProgress,
    PrefetchRequest,
    PrefetchResult,
)
from contracts.errands.reason import ErrandReason
from contracts.failure import Failure, FailureReason
from worker.settings import Settings
from worker.supervisor.host.models.hub_cache import cache_dir, model_dir
from worker.supervisor.placing.hub import DownloadSize, HubAnswer, HubProblem, ModelRequest, fetch

_PROBLEMS = {
    HubProblem.NOT_FOUND: ErrandReason.MODEL_NOT_FOUND,
    HubProblem.REVISION_NOT_FOUND: ErrandReason.REVISION_NOT_FOUND,
    HubProblem.GATED: ErrandReason.MODEL_GATED,
}
_REASONS = {
    FailureReason.MODEL_REFUSED: ErrandReason.MODEL_REFUSED,
    FailureReason.DISK_FULL: ErrandReason.DISK_FULL,
}


def run_prefetch(
    request: PrefetchRequest,
    settings: Settings,
    environ: Mapping[str, str],
    pulse: Callable[[ErrandProgress | None], object],
) -> ErrandOutcome:
    """Download the model. Calls pulse regularly with the progress; stops the download if pulse raises.

    A separate process does the download, as for a job (placing/hub_process.py); only it gets the hub's token.
    """
    if not settings.hub:
        return _failed(ErrandReason.DOWNLOAD_FAILED, "this worker does not download from the hub")
    blobs = model_dir(cache_dir(environ), request.model) / "blobs"
    before = size_of(blobs)
    with tempfile.TemporaryDirectory() as directory:
        size_file = Path(directory) / "size.json"
        answer = fetch(
            ModelRequest(name=request.model, revision=request.revision, size_file=size_file),
            environ,
            os.getpid(),
            lambda: pulse(read_progress(size_file, size_of(blobs) - before)),
        )
        if answer.failure is not None:
            return _failed(_reason(answer, answer.failure), answer.failure.detail)
        size = _read_size(size_file)
    result = PrefetchResult(
        kind="prefetch", revision=answer.commit or "", bytes=size.bytes_total if size else 0
    )
    return ErrandOutcome(result=result)


def read_progress(size_file: Path, added_bytes: int) -> ErrandProgress:
    """Return the progress of a download that has added this many bytes to the cache."""
    size = _read_size(size_file)
    if size is None:
        return ErrandProgress(bytes_done=0)
    done = min(size.bytes_cached + max(0, added_bytes), size.bytes_total)
    return ErrandProgress(bytes_done=done, bytes_total=size.bytes_total)


def _read_size(path: Path) -> DownloadSize | None:
    try:
        return DownloadSize.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def size_of(directory: Path) -> int:
    """Return the total size in bytes of a directory's files, including files that are still being downloaded."""
    total = 0
    try:
        for path in directory.iterdir():
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue  # it has just been renamed
    except OSError:
        return total
    return total


def _reason(answer: HubAnswer, failure: Failure) -> ErrandReason:
    if answer.problem in _PROBLEMS:
        return _PROBLEMS[answer.problem]
    return _REASONS.get(failure.reason, ErrandReason.DOWNLOAD_FAILED)


def _failed(reason: ErrandReason, detail: str) -> ErrandOutcome:
    return ErrandOutcome(failure=ErrandFailure(reason=reason, detail=detail[-5000:]))
