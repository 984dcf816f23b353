"""The server side of a check: starts the child, reports its progress, and returns its result."""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import structlog

from app.datasets.children import Child, describe_exit, start_child
from app.datasets.files.file_error import FileError, FileProblem
from app.datasets.files.found import Rejected
from app.datasets.refusal import Refused
from app.datasets.validation.request import (
    ACCEPTED,
    MAX_ANSWER_BYTES,
    NO_ROOM,
    PROGRESS,
    REFUSED,
    Accepted,
    CheckRequest,
)
from app.errors.disk import storage_failure
from app.errors.kinds import StorageFull

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-m", "app.datasets.validation")
BEAT_SECONDS = 2.0
"""Time between calls to `beat`."""
SILENT_SECONDS = 300.0
"""Time without progress after which the child counts as hung. A conversion may need a while for a large row group."""


class Interrupted(Exception):  # another try may succeed
    """The child was killed, crashed or hung. `refusal` describes this, and is used if it was the last try."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Abandoned(Exception):  # the check was stopped on purpose
    """`beat` returned False: the dataset was deleted, another server has taken over the check, or this server is stopping."""


@dataclass
class Progress:
    """How much of the file has been checked."""

    bytes: int = 0
    rows: int = 0


def run_check(
    file: BinaryIO,
    request: CheckRequest,
    beat: Callable[[Progress], bool],
) -> Accepted:
    """Check a file in a child process; return the description of its rows.

    `beat` is called every BEAT_SECONDS. Raises Refused, Interrupted, or Abandoned if `beat` returns False. The child has
    ended when this function returns or raises.
    """
    with start_child(PROGRAM, request.dump(), file) as child:
        return _Check(child, request, beat).follow()


@dataclass
class _Check:
    """One running child."""

    child: Child
    request: CheckRequest
    beat: Callable[[Progress], bool]

    def follow(self) -> Accepted:
        """Read the child's messages until the last one."""
        output = self.child.output.fileno()
        progress, pending = Progress(), b""
        now = time.monotonic()
        ends_at, beat_at, heard_at = now + self.request.limits.seconds, now, now
        while True:
            now = time.monotonic()
            if now >= ends_at:
                raise self._late(progress)
            if now >= beat_at:
                beat_at = now + BEAT_SECONDS
                if not self.beat(progress):
                    raise Abandoned
            silent_at = heard_at + SILENT_SECONDS
            if now >= silent_at:
                how = f"no progress in {SILENT_SECONDS:g} seconds"
                raise Interrupted(self._ended(FileProblem.CHECK_CRASHED, progress, how=how))
            if not select.select([output], [], [], min(ends_at, beat_at, silent_at) - now)[0]:
                continue
            block = os.read(output, 64 * 1024)
            if not block:
                raise self._lost(progress)
            heard_at = now
            *lines, pending = (pending + block).split(b"\n")
            if len(pending) > MAX_ANSWER_BYTES:
                how = "invalid output"
                raise Interrupted(self._ended(FileProblem.CHECK_CRASHED, progress, how=how))
            for line in lines:
                answer = _read(line)
                if not isinstance(answer, Progress):
                    return answer
                progress = Progress(max(progress.bytes, answer.bytes), answer.rows)

    def _late(self, progress: Progress) -> Refused:
        return self._ended(
            FileProblem.CHECK_TIME, progress, limit=f"{self.request.limits.seconds:g}"
        )

    def _lost(self, progress: Progress) -> Exception:
        """Return the reason why the child ended without a result."""
        status = self.child.process.wait()
        if status == -signal.SIGXCPU:
            return self._late(progress)
        how = describe_exit(status)
        return Interrupted(self._ended(FileProblem.CHECK_CRASHED, progress, how=how))

    def _ended(self, problem: FileProblem, progress: Progress, **figures: str | int) -> Refused:
        error = FileError(problem, 0, file="", rows=progress.rows, **figures)
        log.warning(
            "a dataset could not be checked",
            file=self.request.filename,
            problem=str(error),
            output=self.child.last_errors(),
        )
        return Refused("dataset_unreadable", [Rejected(error)])


def _read(line: bytes) -> Progress | Accepted:
    """Return the progress or the result contained in a line. Raises Refused."""
    match json.loads(line):
        case [kind, int(position), int(rows)] if kind == PROGRESS:
            return Progress(position, rows)
        case [kind, dict(content)] if kind == ACCEPTED:
            return Accepted.model_validate(content)
        case [kind, dict(content)] if kind == REFUSED:
            raise Refused.load(content)
        case [kind, int(number)] if kind == NO_ROOM:
            raise _no_room(number)
    raise ValueError(f"not a message: {line[:200]!r}")


def _no_room(number: int) -> Refused:
    """Return the refusal for a file error in the data directory: a full disk, or any other."""
    error = OSError(number, os.strerror(number))
    log.warning("the rows of a dataset could not be stored", problem=str(error))
    is_full = isinstance(storage_failure(error), StorageFull)
    return Refused("storage_full" if is_full else "storage_unavailable")
