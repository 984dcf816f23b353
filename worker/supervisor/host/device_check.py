"""The state of a worker's GPU, in a file in the worker's home, so that it survives restarts.

The pool process writes it. The main process sends it in hellos, and the health check reads it. A CPU has no such file.
"""

from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import DeviceCheck
from contracts.base import utc_now
from contracts.run_dir import write_model

REASON_CHARACTERS = 2000


def read_check(home: Path) -> DeviceCheck | None:
    """Return the state of the GPU; None if it has never been checked or the file is damaged."""
    try:
        return DeviceCheck.model_validate_json(_path(home).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def record_passed(home: Path) -> None:
    """Store that the GPU has passed a check. Raises OSError."""
    last = read_check(home)
    since = last.since if last is not None and last.passed else utc_now()
    count = 1 if last is None else last.count + 1
    write_model(_path(home), DeviceCheck(passed=True, count=count, since=since))


def record_failed(home: Path, reason: str) -> None:
    """Store that the GPU has failed and why. Raises OSError."""
    last = read_check(home)
    since = last.since if last is not None and not last.passed else utc_now()
    count = 0 if last is None else last.count
    check = DeviceCheck(
        passed=False, count=count, reason=reason[-REASON_CHARACTERS:].strip(), since=since
    )
    write_model(_path(home), check)


def _path(home: Path) -> Path:
    return home / "device_check.json"
