"""The server side: reviews small files itself, and starts a child process for larger ones."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

import structlog

from app.config.settings import Settings
from app.datasets.children import environment, read_end
from app.datasets.conversion.request import Limits
from app.datasets.review.request import Request, load_answer
from app.datasets.review.reviewer import Reviewed, review_rows

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-m", "app.datasets.review")
_CHILDREN = threading.Semaphore(2)
"""Limits the number of child processes that run at the same time; further uploads wait for a free one."""
SMALL_BYTES = 64 * 1024
"""A file of this size is reviewed in a few hundredths of a second, which is faster than starting a process."""


def review_limits(settings: Settings) -> Limits:
    """Return the limits of a review."""
    return Limits(
        unpacked_bytes=settings.max_unpacked_bytes,
        memory_bytes=settings.review_memory_bytes,
        seconds=settings.review_seconds,
    )


def review_file(path: Path, rows: int, limits: Limits) -> Reviewed | None:
    """Review a stored dataset of `rows` rows. Return None, and log the reason, if that is not possible.

    Raises OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= SMALL_BYTES:
            return review_rows(file, rows)
        with _CHILDREN:
            return _review_in_child(file, Request(rows, limits))


def _review_in_child(file: BinaryIO, request: Request) -> Reviewed | None:
    output = ""
    try:
        with tempfile.TemporaryFile() as errors:
            try:
                done = subprocess.run(
                    [*PROGRAM, str(os.getpid()), request.dump()],
                    stdin=file,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment(),
                    timeout=request.limits.seconds,
                    check=True,
                )
                return load_answer(done.stdout)
            finally:
                output = read_end(errors)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        log.warning(
            "a dataset could not be reviewed",
            # str(error) would contain the command.
            problem=type(error).__name__,
            status=getattr(error, "returncode", None),
            output=output,
        )
    return None
