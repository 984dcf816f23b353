"""Runs the hub's process (hub.py) while the attempt stays in touch."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from processes.environment import BASIC, HUB, choose
from worker.supervisor.hub import DatasetRequest, HubAnswer, ModelRequest


def fetch(
    request: ModelRequest | DatasetRequest,
    environ: Mapping[str, str],
    parent_pid: int,
    pulse: Callable[[], object],
) -> HubAnswer:
    """Bring something from the hub. Calls pulse about ten times a second; what it raises ends the process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "worker.supervisor.hub",
                str(parent_pid),
                request.model_dump_json(),
            ],
            env=choose(environ, *BASIC),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
        )
        try:
            _hand_over(process, choose(environ, *HUB))
            while not _ended(process):
                pulse()
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        try:
            return HubAnswer.model_validate_json(out.read())
        except ValidationError as error:
            err.seek(0)
            printed = err.read()[-2000:].decode(errors="replace")
            raise RuntimeError(
                f"the hub's process exited with {process.returncode}: {printed}"
            ) from error


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return False
    return True


def _hand_over(process: subprocess.Popen[bytes], variables: dict[str, str]) -> None:
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:  # its exit is handled below
            process.stdin.write(json.dumps(variables | quiet).encode())
