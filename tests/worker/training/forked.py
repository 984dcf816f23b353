"""Runs the training program in a process that is forked from one that has already imported its libraries.

Importing them takes longer than a run of the tiny model, so tests that need a process, but not a new interpreter, start seconds
sooner. The server process that forks them runs nothing else: torch cannot be used in a fork of a process that has trained.
"""

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from contracts.run_dir import RunDir
from worker.training.__main__ import main, prepare_environment

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])

if "pytest" not in sys.modules:  # this is the server process
    os.environ["OMP_NUM_THREADS"] = "1"
    prepare_environment()
    import worker.training.compute
    import worker.training.run  # noqa: F401 - for the processes to be forked


class Forked:
    """A running program, with the methods of subprocess.Popen that the tests use."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int | None:
        """Wait for the end; return the exit status, or None if the program still runs after `timeout` seconds."""
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


def fork(run_dir: RunDir) -> Forked:
    """Start the program over a run directory. Its output goes to the run's output.log."""
    process = _context.Process(target=_run, args=(run_dir.path, run_dir.output), daemon=True)
    process.start()
    return Forked(process)


def _run(run_dir: Path, output: Path) -> None:
    with output.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    status = main([str(run_dir)])
    sys.stdout.flush()
    os._exit(status)
