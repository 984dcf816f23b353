"""Shared by the programs that run errands. They limit themselves, read a task from stdin and write an ErrandOutcome to stdout."""

import contextlib
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from contracts.errands.errand import ErrandFailure, ErrandOutcome, ErrandResult
from contracts.errands.reason import ErrandReason
from worker.training.errors import TrainingError


class Limits(NamedTuple):
    """The resource limits of a program."""

    cpu_seconds: int
    memory_bytes: int
    """Address space."""
    output_bytes: int
    """Maximum size of each file that it writes, and of its outcome."""


def run_confined(start: Callable[[bytes], tuple[Limits, Callable[[], ErrandResult]]]) -> None:
    """Run a program. `start` parses the task, and returns its limits and the work to do. All other output goes to stderr."""
    limits, work = start(sys.stdin.buffer.read())
    stdout = os.dup(1)
    os.dup2(2, 1)
    _confine(limits)
    try:
        outcome = ErrandOutcome(result=work())
    except TrainingError as error:
        outcome = _failure(ErrandReason.MODEL_REFUSED, error.failure.detail)
    except MemoryError:
        detail = f"more than {limits.memory_bytes:,} bytes are needed"
        outcome = _failure(ErrandReason.MEMORY_LIMIT, detail)
    with os.fdopen(stdout, "wb") as out:
        out.write(pack(outcome, limits.output_bytes))


def pack(outcome: ErrandOutcome, most_bytes: int) -> bytes:
    """Return an outcome as JSON, or a failure if that JSON is larger than allowed."""
    content = outcome.model_dump_json(exclude_defaults=True).encode()
    if len(content) <= most_bytes:
        return content
    detail = f"{len(content):,} bytes; at most {most_bytes:,} are allowed"
    return _failure(ErrandReason.RESULT_TOO_LARGE, detail).model_dump_json().encode()


def _confine(limits: Limits) -> None:
    """Limit this process's memory, processor time and files, and give training priority. Linux only."""
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.output_bytes, limits.output_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    with contextlib.suppress(OSError):
        # If the host runs out of memory, the kernel kills this process, not the training.
        Path("/proc/self/oom_score_adj").write_text("1000")


def _failure(reason: ErrandReason, detail: str) -> ErrandOutcome:
    return ErrandOutcome(failure=ErrandFailure(reason=reason, detail=detail[-5000:]))
