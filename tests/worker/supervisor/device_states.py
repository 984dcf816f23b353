"""Stores the state of a worker's GPU, as the worker does after a check."""

from pathlib import Path

from worker.supervisor.host.device_check import next_failed, next_passed, read_check, write_check


def record_passed(home: Path) -> None:
    write_check(home, next_passed(read_check(home)))


def record_failed(home: Path, reason: str) -> None:
    write_check(home, next_failed(read_check(home), reason))
