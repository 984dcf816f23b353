"""Rank 0 starts the other ranks, watches them, and ends them with itself. Runs before torch is imported.

The others are in rank 0's process group and die with it, so whoever ends rank 0 or its group ends them all. Each has a run
directory of its own, `ranks/RANK`, whose inputs are links to those of the job. Only its records and its outcome are in it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.attempt import Outcome
from contracts.failure import Failure, FailureReason
from contracts.run_dir import Placed, RunDir
from worker.training.ranks.signs import Signs

LOCK_FDS = "STEPLINE_LOCK_FDS"
"""Environment variable: descriptors of the device locks, comma-separated, which every rank must hold until it ends."""
STACK_SIGNAL = signal.SIGUSR1
"""Makes a rank write the stacks of its threads to its `stack` file."""
_POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""Time that rank 0's main thread gets to end the run by itself after another rank has ended."""
_STACK_SECONDS = 2.0
_TERMINATED = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def count_ranks(run_dir: RunDir) -> int:
    """Return the number of ranks that placed.json requests; 1 if it cannot be read, which run.py reports."""
    try:
        return Placed.model_validate_json(run_dir.placed.read_bytes()).ranks
    except (OSError, ValidationError):
        return 1


def job_dir(run_dir: RunDir, rank: int) -> RunDir:
    """Return the job's run directory, given that of one of its ranks."""
    return run_dir if rank == 0 else RunDir(run_dir.path.parent.parent)


def store_path(job: RunDir) -> Path:
    """Return the file through which the ranks find each other."""
    return job.path / "ranks" / "store"


def signs_path(job: RunDir) -> Path:
    """Return the file of the ranks' signs of life."""
    return job.path / "ranks" / "signs"


def stack_path(own: RunDir) -> Path:
    """Return the file into which a rank writes its stacks when it gets STACK_SIGNAL."""
    return own.path / "stack"


class Others:
    """The other ranks, as processes of rank 0. With one rank there are none."""

    def __init__(self, processes: Sequence[tuple[RunDir, subprocess.Popen[bytes]]] = ()) -> None:
        self._processes = processes
        self._ended = threading.Event()
        self._is_closing = threading.Event()
        self._failure: Failure | None = None

    @classmethod
    def start(cls, run_dir: RunDir, count: int) -> "Others":
        """Start ranks 1 to `count` - 1. Only the main thread may call this: they die with the thread that starts them."""
        if count > 1:
            signs_path(run_dir).parent.mkdir()
            Signs.create(signs_path(run_dir), count)
        return cls([_start(run_dir, rank) for rank in range(1, count)])

    def watch(self, on_end: Callable[[Failure], None]) -> None:
        """Watch the processes in a thread. Calls `on_end` in it if rank 0 goes on for GRACE_SECONDS after one has ended."""
        if self._processes:
            args = (on_end,)
            threading.Thread(target=self._watch, args=args, name="ranks", daemon=True).start()

    def wait_for_failure(self, seconds: float) -> Failure | None:
        """Return why another rank ended, waiting up to `seconds` for one to end; None if all run."""
        self._ended.wait(seconds if self._processes else 0)
        return self._failure

    def stack(self, rank: int) -> str:
        """Return the stacks of another rank's threads; empty if it cannot write them, for instance because it is stopped."""
        own, process = self._processes[rank - 1]
        with contextlib.suppress(OSError):
            process.send_signal(STACK_SIGNAL)
            self._is_closing.wait(_STACK_SECONDS)
            return stack_path(own).read_text(errors="replace")
        return ""

    def close(self) -> None:
        """Kill the other ranks. Call it when this run needs them no longer."""
        self._is_closing.set()
        for _, process in self._processes:
            process.kill()
        for _, process in self._processes:
            process.wait()

    def _watch(self, on_end: Callable[[Failure], None]) -> None:
        while not self._is_closing.wait(_POLL_SECONDS):
            for rank, (own, process) in enumerate(self._processes, 1):
                status = process.poll()
                if status is not None and not self._is_closing.is_set():
                    self._failure = _explain(own, rank, status)
                    self._ended.set()
                    if not self._is_closing.wait(GRACE_SECONDS):
                        on_end(self._failure)
                    return


def _start(run_dir: RunDir, rank: int) -> tuple[RunDir, subprocess.Popen[bytes]]:
    own = RunDir(signs_path(run_dir).parent / str(rank))
    own.path.mkdir()
    inputs = (
        run_dir.spec,
        run_dir.placed,
        run_dir.model,
        run_dir.train_data.parent,
        run_dir.resume,
    )
    for path in inputs:
        if path.exists():
            (own.path / path.name).symlink_to(path)
    locks = os.environ.get(LOCK_FDS, "")
    options = ("--rank", str(rank), "--parent-pid", str(os.getpid()))
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.training", *options, str(own.path)],
        stdin=subprocess.DEVNULL,
        pass_fds=[int(number) for number in locks.split(",") if number],
    )
    return own, process


def _explain(own: RunDir, rank: int, status: int) -> Failure:
    """Return why a rank ended: by its outcome if it wrote one, else by its exit status."""
    try:
        failure = Outcome.model_validate_json(own.outcome.read_bytes()).failure
    except (OSError, ValidationError):
        failure = None
    if failure is None:
        ended = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
        failure = Failure(
            reason=FailureReason.CHILD_KILLED if -status in _TERMINATED else FailureReason.CRASHED,
            detail=f"The process {ended} without writing an outcome.",
            evidence={"exit_code": status},
        )
    return failure.model_copy(
        update={
            "detail": f"Rank {rank}: {failure.detail}"[:20_000],
            "evidence": {**failure.evidence, "rank": rank},
        }
    )
