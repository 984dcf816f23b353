"""Renders rows for a preview, in a child process that is limited and gets no secrets: the chat template is foreign code."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO

from pydantic import ValidationError

from contracts.errand import (
    MOST_RESULT_BYTES,
    ErrandFailure,
    ErrandOutcome,
    ErrandReason,
    PreviewedLine,
    PreviewRequest,
    PreviewTask,
)
from contracts.run.run_dir import RUNAWAY_SIGNAL
from processes.environment import BASIC, choose
from worker.settings import Settings
from worker.supervisor.host.models.hub_cache import cache_dir, find_snapshot, list_installed
from worker.supervisor.placing.models import PlacedModel, PlacingFailed, find_local, placed_snapshot

SECONDS = 120
"""Time limit of the process. It takes about two seconds, most of them for imports."""
CPU_SECONDS = 60
MEMORY_BYTES = 4 * 1024**3
"""Address space of the process, most of which is the tokenizer's; it uses about 250 MB of memory."""
POLL_SECONDS = 0.05
_PROGRAM = ("-m", "worker.training.preview")
_SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "PYTHONSAFEPATH": "1",
    # One thread and one arena, so that the limit on memory is not used up by stacks.
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def run_preview(
    request: PreviewRequest,
    rows: Callable[[], list[PreviewedLine]],
    settings: Settings,
    environ: Mapping[str, str],
    pulse: Callable[[], object],
) -> ErrandOutcome:
    """Return the preview or the failure. Calls pulse regularly; if pulse raises, ends the process. `rows` gets them from the server."""
    try:
        model = _find_model(request.model, request.revision, settings, environ)
    except PlacingFailed as error:
        return _failed(ErrandReason.MODEL_REFUSED, error.failure.detail)
    if model is None:
        at = "" if request.revision is None else f" at revision {request.revision}"
        return _failed(ErrandReason.MODEL_NOT_FOUND, f"{request.model}{at} is not on this worker")
    task = PreviewTask(
        rows=rows(),
        model=model.path,
        max_length=request.max_length,
        seconds=CPU_SECONDS,
        memory_bytes=MEMORY_BYTES,
        output_bytes=MOST_RESULT_BYTES,
    )
    return render(task, environ, pulse)


def render(
    task: PreviewTask,
    environ: Mapping[str, str],
    pulse: Callable[[], object],
    seconds: float = SECONDS,
) -> ErrandOutcome:
    """Run the program that renders rows, in a process group of its own."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryDirectory() as empty,
    ):
        given.write(task.model_dump_json().encode())
        given.seek(0)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "processes.parent", str(os.getpid())),
                *(sys.executable, *_PROGRAM),
            ],
            cwd=empty,
            env=choose(environ, *BASIC) | _SETTINGS,
            stdin=given,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        ends_at = time.monotonic() + seconds
        is_late = False
        try:
            while not _has_ended(process):
                pulse()
                is_late = time.monotonic() >= ends_at
                if is_late:
                    break
        finally:
            _end_group(process)
        return _read(process.returncode, out, err, is_late)


def _find_model(
    name: str, revision: str | None, settings: Settings, environ: Mapping[str, str]
) -> PlacedModel | None:
    """Return the model, found like that of a job: a directory under the models root has no revision and takes precedence."""
    local = find_local(settings.models_dir, name)
    if local is not None:
        return local
    if revision is None or not settings.hub:
        snapshot = list_installed(settings, environ).get(name)
    else:
        snapshot = find_snapshot(cache_dir(environ), name, revision)
    return None if snapshot is None else placed_snapshot(name, snapshot, snapshot.name)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait shortly. Return whether the process has ended; it is not reaped, so that its group keeps its id."""
    time.sleep(POLL_SECONDS)
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and everything that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(status: int, out: IO[bytes], err: IO[bytes], is_late: bool) -> ErrandOutcome:
    if is_late or status in {-signal.SIGXCPU, -RUNAWAY_SIGNAL}:
        return _failed(ErrandReason.TIME_LIMIT, f"at most {CPU_SECONDS} seconds are allowed")
    out.seek(0)
    try:
        return ErrandOutcome.model_validate_json(out.read(MOST_RESULT_BYTES + 1))
    except ValidationError:
        err.seek(max(0, err.seek(0, os.SEEK_END) - 2000))
        said = err.read().decode(errors="replace")
    if status == -signal.SIGKILL:
        return _failed(ErrandReason.MEMORY_LIMIT, "the kernel ended the process")
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    is_memory = "MemoryError" in said or "memory allocation" in said
    reason = ErrandReason.MEMORY_LIMIT if is_memory else ErrandReason.CRASHED
    return _failed(reason, f"{how}: {said}")


def _failed(reason: ErrandReason, detail: str) -> ErrandOutcome:
    return ErrandOutcome(failure=ErrandFailure(reason=reason, detail=detail[-5000:]))
