"""Starts server processes by forking one that has already imported the server's code. Importing takes 80% of the startup time.

python -m tests.programs.forked_servers FD

runs that process. It imports nothing but the server, and has one thread. It reads requests from the socket FD, and ends with its
servers when the other end is closed. A server that it forks differs from one that is started with `python -m app.main` in its
command line, and in `/proc/PID/environ`.
"""

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import util
from pathlib import Path
from typing import Any

from processes.privacy import keep_private

if __name__ == "__main__":
    import app.main

LONGEST = 1_000_000
"""Maximum length of a request in bytes; most of it is the environment."""

_sockets: dict[int, socket.socket] = {}
"""The socket of the forking process, keyed by the id of the process that started it. A fork of that process starts its own."""


class ForkedServer:
    """A server process, with the methods of subprocess.Popen that the tests use."""

    def __init__(self, environment: dict[str, str], log: int) -> None:
        self.returncode: int | None = None
        self._pipe, other = os.pipe()
        os.set_blocking(self._pipe, False)
        request = json.dumps({"environment": environment, "directory": str(Path.cwd())}).encode()
        socket.send_fds(_forking_process(), [request], [log, other])
        os.close(other)
        self._lines = b""
        deadline = time.monotonic() + 60
        while b"\n" not in self._lines:
            assert time.monotonic() < deadline
            self._read(1)
        self.pid = int(self._lines.partition(b"\n")[0])

    def poll(self) -> int | None:
        """Return the exit status in the form of subprocess.Popen, or None if the process is running."""
        if self.returncode is None:
            self._read(0)
            if self._lines.count(b"\n") == 2:
                self.returncode = int(self._lines.split(b"\n")[1])
                os.close(self._pipe)
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Wait until the process ends; return its exit status."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("the server", timeout)
            self._wait_for_input(1)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process is running."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def _wait_for_input(self, seconds: float) -> None:
        select.select([self._pipe], [], [], seconds)

    def _read(self, seconds: float) -> None:
        self._wait_for_input(seconds)
        with contextlib.suppress(BlockingIOError):
            self._lines += os.read(self._pipe, 100)


def _forking_process() -> socket.socket:
    """Return the socket of this process's forking process, which the first call starts."""
    pid = os.getpid()
    if pid not in _sockets:
        _sockets[pid], other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _sockets[pid].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.programs.forked_servers", str(other.fileno())],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
        )
        other.close()

        def stop() -> None:
            _sockets.pop(pid).close()
            process.wait()

        util.Finalize(None, stop, exitpriority=0)  # atexit functions do not run in a lane
    return _sockets[pid]


def _serve_requests(requests: socket.socket) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pipes: dict[int, int] = {}
    """For each live server, the pipe for its exit status."""
    while True:
        readable = select.select([requests.fileno(), reader], [], [])[0]
        if reader in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 1000)
            for pid, status in _ended():
                os.write(pipes[pid], b"%d\n" % status)
                os.close(pipes.pop(pid))
        if requests.fileno() in readable:
            request, received, _, _ = socket.recv_fds(requests, LONGEST, 2)
            if not request:
                break
            log, pipe = received
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for opened in (reader, writer, pipe, requests.detach(), *pipes.values()):
                    os.close(opened)
                _run_server(json.loads(request), log)
            os.close(log)
            os.write(pipe, b"%d\n" % pid)
            pipes[pid] = pipe
    for pid in pipes:
        os.kill(pid, signal.SIGKILL)


def _ended() -> list[tuple[int, int]]:
    """Return the ids of the servers that have ended since the last call, and their exit statuses."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def _run_server(request: dict[str, Any], log: int) -> None:
    status = 1
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        random.seed()
        keep_private(os.environ)
        status = app.main.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # Python would print any exception and exit
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _serve_requests(_requests)
