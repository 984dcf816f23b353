"""Stores the state of a worker's GPU in a file in the worker's home, where it survives restarts.

The pool process writes the file. The main process sends the state in hellos, and the health check reads the file. A worker
without a GPU has no such file.
"""

from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import DeviceCheck
from contracts.base import utc_now
from contracts.run.run_dir import write_model

FILE = "device_check.json"
REASON_CHARACTERS = 2000


def read_check(home: Path) -> DeviceCheck | None:
    """Return the state of the GPU; None if the GPU has never been checked or the file cannot be read."""
    try:
        return DeviceCheck.model_validate_json(_path(home).read_bytes())
    except (OSError, ValidationError):
        return None


def next_passed(last: DeviceCheck | None) -> DeviceCheck:
    """Return the state after a passed check."""
    since = last.since if last is not None and last.passed else utc_now()
    count = 1 if last is None else last.count + 1
    return DeviceCheck(passed=True, count=count, since=since)


def next_failed(last: DeviceCheck | None, reason: str, *, pending: bool = False) -> DeviceCheck:
    """Return the state after a failed check, or, if `pending`, after a failure whose check has not ended yet."""
    since = last.since if last is not None and not last.passed else utc_now()
    count = 0 if last is None else last.count
    reason = reason[-REASON_CHARACTERS:].strip()
    return DeviceCheck(passed=False, pending=pending, count=count, reason=reason, since=since)


def write_check(home: Path, check: DeviceCheck) -> None:
    """Store the state of the GPU. Raises OSError."""
    write_model(_path(home), check)


def forget_check(home: Path) -> None:
    """Delete the state of a GPU that the worker no longer uses."""
    _path(home).unlink(missing_ok=True)


def read_age_seconds(home: Path, now: float) -> float | None:
    """Return how long ago the state was stored; None if no state is stored."""
    try:
        return now - _path(home).stat().st_mtime
    except FileNotFoundError:
        return None


def has_used_gpu(homes: Path, pattern: str) -> bool:
    """Return whether a worker whose home matches the glob pattern has stored the state of a GPU."""
    return any(True for _ in homes.glob(f"{pattern}/{FILE}"))


def _path(home: Path) -> Path:
    return home / FILE
