"""Runs a program of the training package for an errand, in a child process with resource limits and no secrets.

A chat template is untrusted code.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from contracts.errands.errand import MOST_RESULT_BYTES, ErrandFailure, ErrandOutcome
from contracts.errands.reason import ErrandReason
from contracts.run.run_dir import RUNAWAY_SIGNAL
from processes.environment import BASIC, choose
from worker.settings import Settings
from worker.supervisor.host.models.hub_cache import cache_dir, find_snapshot, list_installed
from worker.supervisor.placing.models import PlacedModel, find_local, placed_snapshot

POLL_SECONDS = 0.05
_SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "PYTHONSAFEPATH": "1",
    # Use one thread and one malloc arena: each additional one reserves address space, which is limited.
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def find_model(
    name: str, revision: str | None, settings: Settings, environ: Mapping[str, str]
) -> PlacedModel | None:
    """Return a model on this worker's disk, or None. It is found in the same way as a job's model.

    A directory under the models root has no revision and takes precedence. Raises PlacingFailed if the model's links point
    outside the allowed roots.
    """
    local = find_local(settings.models_dir, name)
    if local is not None:
        return local
    if revision is None or not settings.hub:
        snapshot = list_installed(settings, environ).get(name)
    else:
        snapshot = find_snapshot(cache_dir(environ), name, revision)
    return None if snapshot is None else placed_snapshot(name, snapshot, snapshot.name)


def run_program(
    module: str,
    task: BaseModel,
    environ: Mapping[str, str],
    pulse: Callable[[], object],
    *,
    seconds: float,
    limit: str,
    descriptors: Sequence[int] = (),
) -> ErrandOutcome:
    """Run a program that reads the task from stdin, in its own process group, for at most `seconds`.

    Calls pulse regularly; kills the process if pulse raises. `limit`: the time limit in words. `descriptors`: open files that the
    program inherits.
    """
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
                *(sys.executable, "-m", module),
            ],
            cwd=empty,
            env=choose(environ, *BASIC) | _SETTINGS,
            stdin=given,
            stdout=out,
            stderr=err,
            pass_fds=descriptors,
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
        if is_late or process.returncode in {-signal.SIGXCPU, -RUNAWAY_SIGNAL}:
            return failed(ErrandReason.TIME_LIMIT, limit)
        return _read(process.returncode, out, err)


def descriptor_path(file: IO[bytes]) -> Path:
    """Return a path by which this process and a child that inherits the descriptor can open a file that has no name."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def failed(reason: ErrandReason, detail: str) -> ErrandOutcome:
    """Return the outcome of an errand that failed."""
    return ErrandOutcome(failure=ErrandFailure(reason=reason, detail=detail[-5000:]))


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait briefly. Return whether the process has ended; it is not reaped, so that its group keeps its id."""
    time.sleep(POLL_SECONDS)
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and everything that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(status: int, out: IO[bytes], err: IO[bytes]) -> ErrandOutcome:
    out.seek(0)
    try:
        return ErrandOutcome.model_validate_json(out.read(MOST_RESULT_BYTES + 1))
    except ValidationError:
        err.seek(max(0, err.seek(0, os.SEEK_END) - 2000))
        said = err.read().decode(errors="replace")
    if status == -signal.SIGKILL:
        return failed(ErrandReason.MEMORY_LIMIT, "the kernel killed the process")
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    is_memory = "MemoryError" in said or "memory allocation" in said
    reason = ErrandReason.MEMORY_LIMIT if is_memory else ErrandReason.CRASHED
    return failed(reason, f"{how}: {said}")
