"""Helpers: processes that render and encode rows for the training program, which uses the results in the order of the rows.

A helper reads batches of rows from stdin and writes their tokens to stdout. It runs the model's chat template under the same limits as the
training program, and ends when that program ends. Starting one takes about three seconds, so small datasets are prepared without them.
"""

import contextlib
import os
import pickle
import queue
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from pydantic import BaseModel

from contracts.failure import Failure, FailureReason
from contracts.run.run_dir import RUNAWAY_SIGNAL
from worker.training.data.arrays import Sample
from worker.training.data.rows import Row
from worker.training.errors import TrainingError

WORTH_SECONDS = 15.0
"""Helpers are started if preparing the remaining rows would take at least this long without them."""
HELPER_BYTES = 400_000_000
"""Memory that a helper needs; the tokenizer takes most of it."""
_PROGRAM = "worker.training.helper"
_SIZE = struct.Struct("!Q")


class MadeRow(NamedTuple):
    """A row as tokens."""

    sample: Sample
    """For a conversation, truncated to the maximum length; for a document, all of its tokens."""
    total: int
    """Number of tokens before truncation."""


class _Header(BaseModel):
    """The header of the response to a batch. The ids and masks of all rows follow."""

    totals: list[int] = []
    lengths: list[int] = []
    failure: Failure | None = None


class Helpers:
    """The helpers for one model. They are started when they are first needed."""

    def __init__(
        self,
        count: int,
        model: Path,
        now: datetime | None,
        max_length: int,
        worth_seconds: float = WORTH_SECONDS,
    ) -> None:
        """`now`: the date that the chat template may insert."""
        self.count = count
        self.worth_seconds = worth_seconds
        shown = "" if now is None else now.isoformat()
        self._arguments = (str(model), str(max_length), shown)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None

    @property
    def are_running(self) -> bool:
        """Whether the processes have been started."""
        return bool(self._processes)

    def submit(self, batch: Sequence[Row]) -> Future[list[MadeRow]]:
        """Send a batch to the next free helper. Main thread only. The future raises TrainingError for an unusable row."""
        if self._threads is None:
            self._start()
        assert self._threads is not None  # noqa: S101  # it has been started
        return self._threads.submit(self._make, batch)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # the process did not read all of its input
                        pipe.close()
        self._processes.clear()

    def _start(self) -> None:
        # The processes end with the thread that starts them, so it must be the main thread.
        for _ in range(self.count):
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "processes.parent", str(os.getpid())),
                    *(sys.executable, "-m", _PROGRAM, *self._arguments),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            )
            self._processes.append(process)
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(self.count, "helper")

    def _make(self, batch: Sequence[Row]) -> list[MadeRow]:
        process = self._idle.get()
        assert process.stdin is not None  # noqa: S101  # they are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            _write(process.stdin, pickle.dumps(batch))
            return _read_answer(process.stdout)
        except (OSError, EOFError) as error:
            raise _explain(process.wait(), batch) from error
        finally:
            self._idle.put(process)


def serve(make: Callable[[Sequence[Row]], list[MadeRow]], given: IO[bytes], out: IO[bytes]) -> None:
    """Answer batches until there are no more."""
    while True:
        try:
            batch: list[Row] = pickle.loads(_read(given))  # noqa: S301  # from the training program
        except EOFError:
            return
        try:
            made = make(batch)
        except TrainingError as error:
            _write(out, _Header(failure=error.failure).model_dump_json().encode())
            continue
        header = _Header(
            totals=[row.total for row in made], lengths=[len(row.sample) for row in made]
        )
        _write(out, header.model_dump_json().encode())
        _write(out, b"".join(row.sample.ids.tobytes() for row in made))
        _write(out, b"".join(row.sample.supervised.tobytes() for row in made))


def _read_answer(file: IO[bytes]) -> list[MadeRow]:
    header = _Header.model_validate_json(_read(file))
    if header.failure is not None:
        failure = header.failure
        raise TrainingError(failure.reason, failure.detail, evidence=failure.evidence)
    ids = np.frombuffer(_read(file), np.int32)
    supervised = np.frombuffer(_read(file), np.bool_)
    return list(_split(header, Sample(ids, supervised)))


def _split(header: _Header, joined: Sample) -> Iterator[MadeRow]:
    start = 0
    for total, length in zip(header.totals, header.lengths, strict=True):
        end = start + length
        yield MadeRow(Sample(joined.ids[start:end], joined.supervised[start:end]), total)
        start = end


def _explain(status: int, batch: Sequence[Row]) -> Exception:
    """Return the error for a helper that has ended."""
    places = f"{batch[0].file}: lines {batch[0].line} to {batch[-1].line}"
    if status == -RUNAWAY_SIGNAL:
        return TrainingError(
            FailureReason.MODEL_REFUSED,
            f"{places}: the model's chat template exceeded the CPU time limit for one row, in an operation that could not be "
            "interrupted. Use a model with a different template",
            evidence={"line": batch[0].line},
        )
    how = f"the process that renders {places} ended with status {status}"
    return MemoryError(how) if status == -9 else RuntimeError(how)  # SIGKILL


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(_SIZE.pack(len(content)))
    file.write(content)
    file.flush()


def _read(file: IO[bytes]) -> bytes:
    """Return one message. Raises EOFError."""
    (size,) = _SIZE.unpack(_read_exactly(file, _SIZE.size))
    return _read_exactly(file, size)


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content
