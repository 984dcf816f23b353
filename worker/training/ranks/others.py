"""Rank 0 starts the other ranks, watches them, and makes sure that they end when it does. Runs before torch is imported.

The others are in rank 0's process group and get SIGKILL when it ends, so ending rank 0 or its group ends them all. Each has its own
run directory, `ranks/RANK`, whose inputs are links to those of the job. It contains only the rank's records, output and outcome.
Rank 0 copies the output, line by line, to its own.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from contracts.attempt import Outcome
from contracts.failure import Failure
from contracts.run.exits import explain_exit, name_rank
from contracts.run.run_dir import RunDir
from processes.oom import count_oom_kills
from worker.training.ranks.signs import Signs

LOCK_FDS = "STEPLINE_LOCK_FDS"
"""Environment variable: descriptors of the device locks, comma-separated, which every rank must hold until it ends."""
STACK_SIGNAL = signal.SIGUSR1
"""Makes a rank write the stacks of its threads to its `stack` file."""
BLAME_SECONDS = 10.0
"""How long a failed operation waits for a sign that another rank has ended."""
GRACE_SECONDS = 60.0
"""How long rank 0's main thread may take to end the run after another rank has ended."""
CLOSE_SECONDS = 20.0
"""Time after which rank 0 exits even if a killed rank is still stuck in the driver. That rank then still holds the device locks."""
_POLL_SECONDS = 0.1
_STACK_SECONDS = 2.0
_LAST_OUTPUT_SECONDS = 2.0


def job_dir(run_dir: RunDir, rank: int) -> RunDir:
    """Return the job's run directory, given that of one of its ranks."""
    return run_dir if rank == 0 else RunDir(run_dir.path.parent.parent)


def store_path(job: RunDir) -> Path:
    """Return the file through which the ranks find each other."""
    return job.path / "ranks" / "store"


def signs_path(job: RunDir) -> Path:
    """Return the file of the ranks' heartbeats."""
    return job.path / "ranks" / "signs"


def open_signs(job: RunDir, rank: int, count: int) -> Signs:
    """Return the ranks' heartbeats, as seen by one of them."""
    return Signs(rank, count, signs_path(job)) if count > 1 else Signs()


def stack_path(own: RunDir) -> Path:
    """Return the file into which a rank writes its stacks when it gets STACK_SIGNAL."""
    return own.path / "stack"


class Rank:
    """Another rank: its process, and the thread that copies its output."""

    def __init__(self, run_dir: RunDir, number: int) -> None:
        self.number = number
        self.own = RunDir(signs_path(run_dir).parent / str(number))
        self.own.path.mkdir()
        inputs = (run_dir.spec, run_dir.placed, run_dir.model, run_dir.train_data.parent)
        for path in (*inputs, run_dir.resume):
            if path.exists():
                (self.own.path / path.name).symlink_to(path)
        locks = os.environ.get(LOCK_FDS, "")
        options = ("--rank", str(number), "--parent-pid", str(os.getpid()))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker.training", *options, str(self.own.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[int(descriptor) for descriptor in locks.split(",") if descriptor],
        )
        self._copier = threading.Thread(target=self._copy, name=f"output of rank {number}")
        self._copier.daemon = True
        self._copier.start()

    def explain(self, status: int, *, ran_out_of_memory: bool) -> Failure:
        """Return why the rank ended, according to its outcome or, without one, its exit status and output."""
        self._copier.join(_LAST_OUTPUT_SECONDS)
        try:
            failure = Outcome.model_validate_json(self.own.outcome.read_bytes()).failure
        except (OSError, ValidationError):
            failure = None
        failure = failure or explain_exit(
            status, self.own.output, ran_out_of_memory=ran_out_of_memory
        )
        return name_rank(failure, self.number)

    def _copy(self) -> None:
        output: IO[bytes] | None = self.process.stdout
        assert output is not None  # noqa: S101  # it is a pipe
        with output, contextlib.suppress(OSError, ValueError), self.own.output.open("wb") as own:
            for line in output:
                with contextlib.suppress(OSError):  # a full disk must not block the rank
                    own.write(line)
                    own.flush()
                with contextlib.suppress(OSError):
                    text = line.decode(errors="replace").rstrip("\n")
                    print(f"rank {self.number}: {text}", flush=True)


class Others:
    """Rank 0's view of the other ranks. With one rank, there are none."""

    def __init__(self, ranks: Sequence[Rank] = (), oom_kills: int = 0) -> None:
        self._ranks = ranks
        self._oom_kills = oom_kills
        self._ended = threading.Event()
        self._is_closing = threading.Event()
        self._failure: Failure | None = None

    @classmethod
    def start(cls, run_dir: RunDir, count: int) -> "Others":
        """Start ranks 1 to `count` - 1. Raises OSError.

        Only the main thread may call this, because they die with the thread that starts them.
        """
        if count == 1:
            return cls()
        signs_path(run_dir).parent.mkdir()
        Signs.create(signs_path(run_dir), count)
        oom_kills = count_oom_kills()
        return cls([Rank(run_dir, number) for number in range(1, count)], oom_kills)

    def watch(self, on_end: Callable[[Failure], None]) -> None:
        """Watch the processes in a thread. Calls `on_end` in that thread if rank 0 is still running GRACE_SECONDS after one has ended."""
        if self._ranks:
            args = (on_end,)
            threading.Thread(target=self._watch, args=args, name="ranks", daemon=True).start()

    def wait_for_failure(self, seconds: float) -> Failure | None:
        """Return why another rank ended, waiting up to `seconds` for one to end; None if all are running."""
        self._ended.wait(seconds if self._ranks else 0)
        return self._failure

    def stack(self, rank: int) -> str:
        """Return the stacks of another rank's threads; empty if it cannot write them, for instance because it is stopped."""
        other = self._ranks[rank - 1]
        with contextlib.suppress(OSError):
            other.process.send_signal(STACK_SIGNAL)
            self._is_closing.wait(_STACK_SECONDS)
            return stack_path(other.own).read_text(errors="replace")
        return ""

    def close(self) -> None:
        """Kill the other ranks.

        Call this once rank 0 no longer needs them; a rank that ends afterwards is not a failure.
        """
        self._is_closing.set()
        for rank in self._ranks:
            rank.process.kill()
        give_up_at = time.monotonic() + CLOSE_SECONDS
        for rank in self._ranks:
            with contextlib.suppress(subprocess.TimeoutExpired):
                rank.process.wait(max(0.0, give_up_at - time.monotonic()))

    def _watch(self, on_end: Callable[[Failure], None]) -> None:
        while not self._is_closing.wait(_POLL_SECONDS):
            for rank in self._ranks:
                status = rank.process.poll()
                if status is None or self._is_closing.is_set():
                    continue
                has_oom_kill = count_oom_kills() > self._oom_kills
                self._failure = rank.explain(status, ran_out_of_memory=has_oom_kill)
                self._ended.set()
                if not self._is_closing.wait(GRACE_SECONDS):
                    on_end(self._failure)
                return
