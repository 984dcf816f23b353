"""Determines why a training process or one of its ranks ended without writing an outcome."""

import re
import signal
from pathlib import Path

from contracts.failure import DETAIL_CHARACTERS, Failure, FailureReason
from contracts.run.run_dir import RUNAWAY_SIGNAL

NATIVE_ERROR_BYTES = 1024**2
"""Number of bytes at the end of the output that are searched for an error from native code."""
_NATIVE_ERROR = re.compile(
    r"^Error (.+) at line \d+ in file \S"  # bitsandbytes, before exit(1): CUDA_CHECK_RETURN in its csrc, version 0.50
    r"|^\s*what\(\):\s+CUDA error: (.+)",  # the C++ runtime, before it aborts on a torch error
    re.MULTILINE,
)
"""CUDA's message in an error printed by native code, which Python cannot catch."""
_OUT_OF_MEMORY = "out of memory"
"""CUDA's message for cudaErrorMemoryAllocation."""


def explain_exit(code: int, output: Path, *, ran_out_of_memory: bool) -> Failure:
    """Return why a training process ended, given its exit code and output.

    `ran_out_of_memory`: whether the kernel's OOM killer has killed a process of this cgroup since the training process
    started.
    """
    evidence: dict[str, str | int | float | bool | None] = {"exit_code": code}
    if code == -signal.SIGKILL and ran_out_of_memory:
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
            "be interrupted. Use a model with a different template.",
            evidence=evidence,
        )
    ended = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
    last_lines = tail(output) or "(no output)"
    error = _find_native_error(output) if code in {1, -signal.SIGABRT} else None
    cause = "" if error is None else f"Error in native code: {error}\n"
    return Failure(
        reason=_reason_of_crash(error),
        detail=f"The training process {ended} without writing an outcome. {cause}Last lines of its output:\n{last_lines}",
        evidence=evidence,
    )


def name_rank(failure: Failure, rank: int) -> Failure:
    """Return the failure, attributed to one of several ranks: at the start of its detail and in its evidence."""
    prefix = f"Rank {rank}: "
    detail = prefix + failure.detail[-(DETAIL_CHARACTERS - len(prefix)) :]
    return failure.model_copy(
        update={"detail": detail, "evidence": {**failure.evidence, "rank": rank}}
    )


def _find_native_error(output: Path) -> str | None:
    """Return CUDA's message from the last error printed by native code, or None.

    A large part of the output is searched, because torch and faulthandler may print long stack traces after the error.
    """
    found = list(_NATIVE_ERROR.finditer(_read_end(output, NATIVE_ERROR_BYTES)))
    return (found[-1].group(1) or found[-1].group(2)).strip() if found else None


def _reason_of_crash(native_error: str | None) -> FailureReason:
    if native_error is None:
        return FailureReason.CRASHED
    is_out_of_memory = native_error == _OUT_OF_MEMORY
    return FailureReason.OOM_GPU if is_out_of_memory else FailureReason.DEVICE_FAILED


def tail(path: Path, lines: int = 30) -> str:
    """Return the last lines of a text file, at most 8 KiB; empty if the file does not exist."""
    return "\n".join(_read_end(path, 8192).splitlines()[-lines:])


def _read_end(path: Path, size: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors="replace")
