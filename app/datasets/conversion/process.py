"""The server side: starts the child process and reads the rows it returns."""

import signal
import sys
import threading
from collections.abc import Generator, Iterator
from typing import BinaryIO

import structlog

from app.datasets.children import Child, describe_exit, start_child
from app.datasets.conversion.frames import MAX_FRAME_BYTES, BrokenFrame, decode
from app.datasets.conversion.request import Request
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Found, Rejected

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-m", "app.datasets.conversion")


def convert(file: BinaryIO, request: Request) -> Generator[Found, None, None]:
    """Yield each row, or its error. The file must have a descriptor. Close the iterator to end the child.

    If the child ends early, the last item is a Rejected with the reason. Raises OSError if a temporary file cannot be
    written.
    """
    timed_out = threading.Event()
    with start_child(PROGRAM, request.dump(), file) as child:

        def end_late_process() -> None:
            timed_out.set()
            child.process.kill()

        deadline = threading.Timer(request.limits.seconds, end_late_process)
        deadline.daemon = True
        deadline.start()
        try:
            yield from _read(child, timed_out, request)
        finally:
            deadline.cancel()


def _read(child: Child, timed_out: threading.Event, request: Request) -> Iterator[Found]:
    rows, file = 0, ""
    how = ""
    while line := child.output.readline(MAX_FRAME_BYTES + 1):
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
        child.process.kill()
    error = _explain(child.process.wait(), timed_out.is_set(), request, rows, how)
    log.warning(
        "a dataset could not be converted",
        file=request.filename,
        problem=str(error),
        output=child.last_errors(),
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


def _number(seconds: float) -> str:
    return f"{seconds:g}"
