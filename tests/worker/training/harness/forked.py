"""Runs the training program in a process forked from one that has already imported the program's libraries.

Importing the libraries takes longer than training the tiny model, so tests that need a separate process, but not a new
interpreter, save seconds. The server process that forks these processes runs nothing else, because torch cannot be used in a
fork of a process that has trained a model.
"""

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from contracts.run.run_dir import RunDir
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
        """Wait until the program ends; return its exit status, or None if it is still running after `timeout` seconds."""
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


def fork(run_dir: RunDir) -> Forked:
    """Start the program on a run directory. Its output goes to the run's output.log."""
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
