"""Determines how a training process ended, from its outcome.json, else from its exit code and last lines of output."""

import re
import signal
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from contracts.attempt import Outcome
from contracts.failure import Failure, FailureReason
from contracts.run_dir import RUNAWAY_SIGNAL, RunDir
from worker.supervisor.child.oom import count_oom_kills
from worker.supervisor.child.process import Child

EndedAs = Literal["cancelled", "paused", "interrupted"]
"""The status of an attempt that ends because of a request to stop."""
_BITSANDBYTES_EXIT = re.compile(r"^Error (.+) at line \d+ in file \S", re.MULTILINE)
"""bitsandbytes prints this line, with CUDA's message, and calls exit(1) (CUDA_CHECK_RETURN in its csrc, version 0.50)."""
_TORCH_ABORT = re.compile(r"^\s*what\(\):\s+CUDA error: (.+)", re.MULTILINE)
"""The C++ runtime prints this line and aborts if torch raises a CUDA error where Python cannot catch it."""
_OUT_OF_MEMORY = "out of memory"
"""CUDA's message for cudaErrorMemoryAllocation."""


def read_outcome(child: Child, run_dir: RunDir, requested: EndedAs | None) -> Outcome:
    """Return how a child ended: by its outcome.json if there is one, else the stop request, else its exit code."""
    outcome = _read_file(run_dir)
    if outcome is not None:
        if requested is not None and outcome.status == "interrupted":
            return outcome.model_copy(update={"status": requested})
        return outcome
    if requested is not None:
        return Outcome(status=requested)
    return Outcome(status="failed", failure=_failure(child, run_dir))


def _read_file(run_dir: RunDir) -> Outcome | None:
    if not run_dir.outcome.exists():
        return None
    try:
        return Outcome.model_validate_json(run_dir.outcome.read_bytes())
    except ValidationError as error:
        failure = Failure(reason=FailureReason.CRASHED, detail=f"outcome.json: {error}")
        return Outcome(status="failed", failure=failure)


def _failure(child: Child, run_dir: RunDir) -> Failure:
    code = child.exit_code or 0
    evidence: dict[str, str | int | float | bool | None] = {"exit_code": code}
    if code == -signal.SIGKILL and count_oom_kills() > child.oom_kills:
        return Failure(
            reason=FailureReason.OOM_HOST,
            detail="The kernel killed the training process because the host ran out of memory.",
            evidence=evidence,
        )
    if code in {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}:
        return Failure(
            reason=FailureReason.CHILD_KILLED,
            detail=f"The training process was terminated by signal {-code}.",
            evidence=evidence,
        )
    if code == -RUNAWAY_SIGNAL:
        return Failure(
            reason=FailureReason.MODEL_REFUSED,
            detail="The model's chat template exceeded the CPU time limit for one row, in an operation that could not "
            "be interrupted. Use a model with another template.",
            evidence=evidence,
        )
    ended = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
    printed = tail(run_dir.output) or "(no output)"
    return Failure(
        reason=_reason_of_crash(code, printed),
        detail=f"The training process {ended} without writing an outcome. Last lines of its output:\n{printed}",
        evidence=evidence,
    )


def _reason_of_crash(code: int, printed: str) -> FailureReason:
    """Return the reason of a child that ended without an outcome, by the last error that native code printed."""
    patterns = {1: _BITSANDBYTES_EXIT, -signal.SIGABRT: _TORCH_ABORT}
    messages = patterns[code].findall(printed) if code in patterns else []
    if not messages:
        return FailureReason.CRASHED
    return FailureReason.OOM_GPU if messages[-1] == _OUT_OF_MEMORY else FailureReason.DEVICE_FAILED


def tail(path: Path, lines: int = 30) -> str:
    """Return the last lines of a text file, at most 8 KiB; empty if the file does not exist."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
