"""Mirror: starts the process that sends an attempt's metrics to W&B, and turns its messages into notes.

The process (program.py) reads the records from the disk at its own pace, so the supervisor never waits for it. Its key arrives
on stdin, where no other process can see it.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

import structlog
from pydantic import ValidationError

from contracts.attempt import Claim
from contracts.base import Tolerant
from contracts.run.run_dir import RunDir
from contracts.wandb import WandbSettings
from processes.environment import BASIC, WANDB, choose
from worker.settings import Settings
from worker.supervisor.reporting.notes import Notes

log = structlog.get_logger(__name__)

MOST_REQUEST_BYTES = 48 * 1024
"""Less than a pipe holds, so that writing the request and the end never blocks."""
MOST_REASON = 400
DIRECTORIES = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
"""Variables that name the directories of W&B's library. MirrorRequest always contains them."""


class MirrorRequest(Tolerant):
    """What the process needs; the first line of its stdin."""

    variables: dict[str, str]
    """Environment variables of W&B's library."""
    own_directory: str
    """The worker's directory for W&B's files, unless the variables name others."""
    records: str
    """Path of the attempt's records."""
    job_id: str
    attempt: int
    run: WandbSettings
    config: dict[str, Any]
    """The job's spec; empty if it is very large."""


class MirrorEnd(Tolerant):
    """The end of the attempt; the second line of its stdin."""

    failed: bool


class MirrorMessage(Tolerant):
    """A line of the process's stdout: the run has started, or the mirror has failed."""

    run: str = ""
    """Path of the run, if it has started."""
    reason: str = ""
    """Why the mirror has failed, if it has."""


class Mirror:
    """The mirror of one attempt. None of its methods raises, and only `settle` waits."""

    def __init__(
        self,
        claim: Claim,
        run_dir: RunDir,
        settings: Settings,
        environ: Mapping[str, str],
        notes: Notes,
    ) -> None:
        self._claim = claim
        self._run_dir = run_dir
        self._settings = settings
        self._environ = environ
        self._notes = notes
        self._process: subprocess.Popen[bytes] | None = None
        self._has_reported = threading.Event()

    def start(self) -> None:
        """Start the process if the job has an integration and this worker is configured for it. Only the main thread may call this."""
        run = self._claim.wandb
        if run is None:
            return
        reason = _find_obstacle(self._settings)
        if reason is not None:
            self._notes.add("wandb_unavailable", "warning", reason=reason)
            return
        try:
            self._start(run)
        except (OSError, RuntimeError) as error:  # no process or no thread could be started
            log.warning("the mirror could not be started", reason=str(error))
            self._notes.add("wandb_failed", "warning", reason=str(error)[:MOST_REASON])

    def end(self, *, failed: bool) -> None:
        """Tell the process that there are no more records. It sends the rest and ends by itself."""
        pipe = None if self._process is None else self._process.stdin
        if pipe is None or pipe.closed:
            return
        with contextlib.suppress(OSError), pipe:  # the process has ended already
            pipe.write(MirrorEnd(failed=failed).model_dump_json().encode() + b"\n")

    def settle(self, seconds: float) -> None:
        """Wait until the process has started its run or has failed, so that the note about it reaches the server with the results."""
        if self._process is not None:
            self._has_reported.wait(seconds)

    def _start(self, run: WandbSettings) -> None:
        directory = str(self._settings.work_dir / "wandb")
        request = MirrorRequest(
            variables={
                **dict.fromkeys(DIRECTORIES, directory),
                "WANDB_ERROR_REPORTING": "false",
                **choose(self._environ, *WANDB),
            },
            own_directory=directory,
            records=str(self._run_dir.records),
            job_id=self._claim.job_id,
            attempt=self._claim.number,
            run=run,
            config=json.loads(self._claim.spec.model_dump_json()),
        )
        if len(request.model_dump_json().encode()) > MOST_REQUEST_BYTES:
            request = request.model_copy(update={"config": {}})
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.supervisor.mirror.program", str(os.getpid())],
            env=choose(self._environ, *BASIC),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process = process
        assert process.stdin is not None  # noqa: S101  # both are pipes
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # it has ended; the thread reports that
            process.stdin.write(request.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        log.info("mirror started", pid=process.pid, project=run.project)
        threading.Thread(
            target=self._listen, args=(process, process.stdout), name="mirror", daemon=True
        ).start()

    def _listen(self, process: subprocess.Popen[bytes], messages: IO[bytes]) -> None:
        """Turn the process's messages into notes until it ends."""
        has_failed = False
        with messages:
            for line in messages:
                try:
                    message = MirrorMessage.model_validate_json(line)
                except ValidationError:
                    continue
                if message.run:
                    self._notes.add("wandb_started", run=message.run[:MOST_REASON])
                if message.reason:
                    has_failed = True
                    log.warning("the mirror failed", reason=message.reason[:MOST_REASON])
                    self._notes.add("wandb_failed", "warning", reason=message.reason[:MOST_REASON])
                self._has_reported.set()
        status = process.wait()
        log.info("mirror ended", exit_code=status)
        if status != 0 and not has_failed:
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            log.warning("the mirror failed", reason=f"the process ended with {how}")
            self._notes.add("wandb_failed", "warning", reason=f"the process ended with {how}")
        self._has_reported.set()


def _find_obstacle(settings: Settings) -> str | None:
    """Return why this worker cannot mirror jobs, or None."""
    if not settings.wandb:
        return "STEPLINE_WANDB is not set to true"
    if importlib.util.find_spec("wandb") is None:
        return "the Python package wandb is not installed"
    return None
