"""Starts a child process that works on a file, captures its output, and describes how it ended."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from processes.environment import BASIC, choose

LOGGED_BYTES = 2000
ENVIRONMENT = {
    # A single thread per library, because stacks and arenas count towards the memory limit.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYDANTIC_DISABLE_PLUGINS": "true",
    "RAYON_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Child:
    """A running child process."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    """The pipe connected to its standard output."""
    errors: IO[bytes]
    """The file that receives its standard error."""

    def last_errors(self) -> str:
        """Return the last part of its standard error, for the log."""
        return read_end(self.errors)


@contextlib.contextmanager
def start_child(program: Sequence[str], request: str, file: BinaryIO) -> Iterator[Child]:
    """Start `PROGRAM SERVER_PID REQUEST` with the file as standard input. The process has ended when the block exits.

    Raises OSError if a temporary file cannot be written.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*program, str(os.getpid()), request],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
        )
        assert process.stdout is not None  # noqa: S101  # a pipe
        try:
            yield Child(process, process.stdout, errors)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def environment() -> dict[str, str]:
    """Return the environment of a child, which contains no secrets."""
    return choose(os.environ, *BASIC) | ENVIRONMENT


def read_end(errors: IO[bytes]) -> str:
    """Return the last LOGGED_BYTES of a file."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - LOGGED_BYTES))
    return errors.read().decode(errors="replace")


def describe_exit(status: int) -> str:
    """Return how a process ended, from its status as in `Popen.returncode`: the name of a signal, or the exit status."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"
