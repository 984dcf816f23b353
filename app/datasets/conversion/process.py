"""The server side: starts the child process and reads the rows it returns."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from typing import IO, BinaryIO

import structlog

from app.datasets.conversion.frames import MAX_FRAME_BYTES, BrokenFrame, decode
from app.datasets.conversion.request import Request
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Found, Rejected
from processes.environment import BASIC, choose

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-m", "app.datasets.conversion")
LOGGED_BYTES = 2000
ENVIRONMENT = {
    # A single thread per library, because stacks and arenas count towards the memory limit.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYDANTIC_DISABLE_PLUGINS": "true",
}


def convert(file: BinaryIO, request: Request) -> Generator[Found, None, None]:
    """Yield each row, or its error. The file must have a descriptor. Close the iterator to end the child.

    If the child ends early, the last item is a Rejected with the reason. Raises OSError if a temporary file cannot be
    written.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*PROGRAM, str(os.getpid()), request.dump()],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=choose(os.environ, *BASIC) | ENVIRONMENT,
        )
        timed_out = threading.Event()

        def end_late_process() -> None:
            timed_out.set()
            process.kill()

        deadline = threading.Timer(request.limits.seconds, end_late_process)
        deadline.daemon = True
        deadline.start()
        try:
            assert process.stdout is not None  # noqa: S101  # a pipe
            yield from _read(process.stdout, process, timed_out, request, errors)
        finally:
            deadline.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _read(
    output: IO[bytes],
    process: subprocess.Popen[bytes],
    timed_out: threading.Event,
    request: Request,
    errors: IO[bytes],
) -> Iterator[Found]:
    rows, file = 0, ""
    how = ""
    while line := output.readline(MAX_FRAME_BYTES + 1):
        try:
            found = decode(line)
        except BrokenFrame:
            # A process that dies may leave an incomplete line.
            if line.endswith(b"\n") or len(line) > MAX_FRAME_BYTES:
                how = "invalid output"
            break
        if found is None:
            return
        file, rows = found.file, rows + 1
        yield found
    if how:
        process.kill()
    error = _explain(process.wait(), timed_out.is_set(), request, rows, how)
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - LOGGED_BYTES))
    log.warning(
        "a dataset could not be converted",
        file=request.filename,
        problem=str(error),
        output=errors.read().decode(errors="replace"),
    )
    yield Rejected(error, file=file)


def _explain(status: int, timed_out: bool, request: Request, rows: int, how: str) -> FileError:
    limits = request.limits
    if timed_out or status == -signal.SIGXCPU:
        return FileError(FileProblem.TIME, limit=_number(limits.seconds), rows=rows)
    if how:
        return FileError(FileProblem.CRASHED, how=how, rows=rows)
    if status == -signal.SIGKILL:  # by the kernel's OOM killer
        return FileError(FileProblem.MEMORY, limit=limits.memory_bytes, rows=rows)
    return FileError(FileProblem.CRASHED, how=describe_exit(status), rows=rows)


def describe_exit(status: int) -> str:
    """Return how a process ended, from its status as in `Popen.returncode`: the name of a signal, or the exit status."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"


def _number(seconds: float) -> str:
    return f"{seconds:g}"
