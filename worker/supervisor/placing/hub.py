"""Runs each hub request in a separate process (hub_process.py) while the supervisor keeps syncing.

A download can take an hour. The supervisor can kill the separate process immediately, and never imports the hub's
libraries itself.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from contracts.base import Tolerant
from contracts.data_spec import HubDataset
from contracts.failure import Failure, FailureReason
from processes.environment import BASIC, HUB, choose
from worker.supervisor.placing.hub_limits import Disk

_OUT_OF_MEMORY = {-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV}
"""How the process of a dataset ends if its libraries get no memory, or if the kernel ends it because the host has none left."""


class ModelRequest(Tolerant):
    """Download a model."""

    type: Literal["model"] = "model"
    name: str
    revision: str | None = None
    size_file: Path | None = None
    """File into which the process writes a DownloadSize before it downloads; null if the size is not needed."""


class DownloadSize(Tolerant):
    """The size of the files of a model or dataset."""

    bytes_total: int
    bytes_cached: int
    """The part that is already in the cache."""


class HubProblem(StrEnum):
    """Why a model or a dataset cannot be downloaded, as far as the hub's libraries report it."""

    NOT_FOUND = "not_found"
    REVISION_NOT_FOUND = "revision_not_found"  # only of a model
    GATED = "gated"
    SPLIT_NOT_FOUND = "split_not_found"
    HAS_SCRIPT = "has_script"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    MEMORY = "memory"
    TIME = "time"


class DatasetRequest(Tolerant):
    """Download a dataset and write it as JSONL."""

    type: Literal["dataset"] = "dataset"
    source: HubDataset
    target: Path
    size_file: Path | None = None
    """File into which the process writes a DownloadSize before it downloads; null if the size is not needed."""
    limit_bytes: int | None = None
    """Maximum size of the JSONL."""
    memory_bytes: int | None = None
    """Memory of the process, because the files of a dataset may be much larger when they are unpacked."""

    @property
    def tables(self) -> Path:
        """The directory for the tables that `datasets` makes. Nothing reads them later, so they are deleted at the end."""
        return self.target.with_name(self.target.name + ".tables")


HubRequest = Annotated[ModelRequest | DatasetRequest, Field(discriminator="type")]


class HubAnswer(Tolerant):
    """The result of a request: the commit and, for a model, its directory; or a failure."""

    commit: str | None = None
    path: Path | None = None
    failure: Failure | None = None
    problem: HubProblem | None = None
    """The cause of the failure, if it is one of the known causes."""


def fetch(
    request: ModelRequest | DatasetRequest,
    environ: Mapping[str, str],
    parent_pid: int,
    pulse: Callable[[], object],
    seconds: float | None = None,
) -> HubAnswer:
    """Run a hub request in a separate process. Calls pulse about ten times a second; if pulse raises, kills the process.

    A dataset whose download takes more than `seconds`, or leaves too little free space on the disk, ends with a failure.
    """
    ends_at = None if seconds is None else time.monotonic() + seconds
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        disk = Disk.of(request.target.parent) if isinstance(request, DatasetRequest) else None
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "worker.supervisor.placing.hub_process",
                str(parent_pid),
                request.model_dump_json(),
            ],
            env=choose(environ, *BASIC),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
        )
        try:
            _send_variables(process, choose(environ, *HUB))
            while not _ended(process):
                pulse()
                if ends_at is not None and time.monotonic() >= ends_at:
                    detail = f"the download took more than {seconds:g} seconds"
                    return _failed(FailureReason.DATASET_NOT_FOUND, detail, HubProblem.TIME)
                if disk is not None and disk.is_low():
                    detail = f"the dataset leaves less than {disk.least_bytes} bytes free in {disk.directory}"
                    return _failed(FailureReason.DISK_FULL, detail)
        finally:
            process.kill()
            process.wait()
            if isinstance(request, DatasetRequest):
                shutil.rmtree(request.tables, ignore_errors=True)
        out.seek(0)
        try:
            return HubAnswer.model_validate_json(out.read())
        except ValidationError as error:
            err.seek(0)
            printed = err.read()[-2000:].decode(errors="replace")
            exited = f"the hub process exited with {process.returncode}: {printed}"
            if isinstance(request, DatasetRequest) and process.returncode in _OUT_OF_MEMORY:
                return _failed(FailureReason.OOM_HOST, exited, HubProblem.MEMORY)
            raise RuntimeError(exited) from error


def _failed(reason: FailureReason, detail: str, problem: HubProblem | None = None) -> HubAnswer:
    return HubAnswer(failure=Failure(reason=reason, detail=detail), problem=problem)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return False
    return True


def _send_variables(process: subprocess.Popen[bytes], variables: dict[str, str]) -> None:
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:  # fetch() handles an early exit
            process.stdin.write(json.dumps(variables | quiet).encode())
