"""Runs the hub's process (hub.py) while the attempt stays in touch."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from worker.supervisor.hub import DatasetRequest, HubAnswer, ModelRequest

WITHHELD = ("STEPLINE_",)
"""Prefixes of variables that the hub's libraries have no business with: our token and addresses."""


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
            env=_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        try:
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


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    passed = {name: value for name, value in environ.items() if not name.startswith(WITHHELD)}
    return passed | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
