"""Runs the tests in several processes, which are forked after the tests have been collected.

Collecting the tests imports the server, torch and transformers, which takes longer than many tests. With pytest-xdist,
every process would repeat the imports, because each has its own interpreter. Here, each process is a lane: it asks for
units of tests (see tests/units.py), runs them, and sends their reports to the parent process, which prints them.
"""

import contextlib
import gc
import multiprocessing
import os
import random
import signal
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

from tests.units import Queue

_context = multiprocessing.get_context("fork")
_connections: list[Connection] = []
"""The parent's ends of the pipes. Lanes close their copies; otherwise they would not notice that the parent has ended."""


def run_in_lanes(session: pytest.Session, count: int) -> None:
    """Run the session's tests in `count` processes."""
    config: Any = session.config  # the attributes for plugins are untyped
    config.get_terminal_writer().line(f"{count} processes")
    # Exclude the objects that the imports have created from garbage collection. The lanes never free them.
    gc.collect()
    gc.freeze()
    queue = Queue([item.nodeid for item in session.items])
    directory = config._tmp_path_factory.getbasetemp()
    lanes = [_Lane(session, queue, directory, number) for number in range(count)]
    try:
        while running := {lane.connection: lane for lane in lanes if lane.is_running}:
            for connection in wait([*running]):
                running[connection].receive()  # type: ignore[index]
            if session.shouldfail or session.shouldstop:
                queue.clear()
    except BaseException:
        queue.clear()
        raise
    finally:
        _end(lanes)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    assert sum(lane.finished for lane in lanes) == len(session.items)


class _Lane:
    """A process that runs tests, as seen by the process that starts it."""

    def __init__(self, session: pytest.Session, queue: Queue, directory: Path, number: int) -> None:
        self._session = session
        self._queue = queue
        self._directory = directory
        self._number = number
        self.finished = 0
        """Number of tests that have passed or failed."""
        self._start()

    def _start(self) -> None:
        self._waiting: deque[int] = deque()
        """Indexes of the tests that the lane has received and has not finished; the first one is running."""
        self.connection, other = _context.Pipe()
        _connections.append(self.connection)
        # A short name, because the path of a socket has at most 107 characters.
        directory = self._directory / str(len(_connections))
        directory.mkdir()
        self._process = _context.Process(target=_run, args=(self._session, other, directory))
        self._process.start()
        self.is_running = True
        other.close()

    def receive(self) -> None:
        """Handle one message from the process."""
        kind, content = "ended", None
        with contextlib.suppress(EOFError, ConnectionResetError):
            kind, content = self.connection.recv()
        hook = self._session.config.hook
        if kind == "ended":
            self._end()
        elif kind == "next":
            unit = self._queue.take(computing=self._number % 2 == 1 and not self._waiting)
            self._waiting.extend(unit)
            with contextlib.suppress(BrokenPipeError):
                self.connection.send(unit)
        elif kind == "finished":
            self._waiting.popleft()
            self.finished += 1
        elif kind == "report":
            report = hook.pytest_report_from_serializable(config=self._session.config, data=content)
            hook.pytest_runtest_logreport(report=report)
        elif kind == "warning":
            hook.pytest_warning_recorded.call_historic(kwargs=content)

    def _end(self) -> None:
        """Fail the test that the process died in, and run those that it had not begun in a new process."""
        self._process.join()
        self.is_running = False
        self.connection.close()
        if self._session.shouldfail or self._session.shouldstop:
            return
        if self._waiting:
            item = self._session.items[self._waiting.popleft()]
            self.finished += 1
            message = f"The process of this test ended with status {self._process.exitcode}."
            self._session.config.hook.pytest_runtest_logreport(
                report=pytest.TestReport(
                    item.nodeid, item.location, {}, "failed", message, "call", [], 0, 0, 0
                )
            )
        elif self._process.exitcode:
            self._session.shouldstop = f"A test process ended with status {self._process.exitcode}."
        if self._waiting and not self._session.shouldfail:
            self._queue.give_back([*self._waiting])
            self._start()

    def close(self) -> None:
        """Let the process end after its current test."""
        self.connection.close()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the process has ended, or for `seconds`."""
        self._process.join(seconds)

    def interrupt(self) -> None:
        """Interrupt the current test, if the process is running."""
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGINT)


def _end(lanes: list[_Lane]) -> None:
    """End the lanes. Each may finish its current test within ten seconds."""
    deadline = time.monotonic() + 10
    for lane in lanes:
        lane.close()
    for lane in lanes:
        lane.wait(max(0, deadline - time.monotonic()))
    for lane in lanes:
        lane.interrupt()
    for lane in lanes:
        lane.wait()


def _run(session: pytest.Session, connection: Connection, directory: Path) -> None:
    config: Any = session.config
    for parents_end in _connections:
        parents_end.close()
    random.seed()
    config._tmp_path_factory._basetemp = directory.resolve()
    config._tmp_path_factory._next_number = {}
    capture = config.pluginmanager.get_plugin("capturemanager")
    capture.stop_global_capturing()  # its files are those of the parent process
    capture.start_global_capturing()
    capture.suspend_global_capture()
    for name in ("terminalreporter", "terminalprogress"):
        config.pluginmanager.unregister(name=name)
    forwarder = _Forwarder(config)
    config.pluginmanager.register(
        forwarder, "forwarder"
    )  # pytest replays all previous warnings to it
    forwarder.connection = connection
    try:
        _run_units(session, connection)
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        session._setupstate.teardown_exact(None)  # the parent process is ending the session
    finally:
        os.chdir("/")


def _run_units(session: pytest.Session, connection: Connection) -> None:
    def ask() -> deque[int]:
        connection.send(("next", None))
        return deque(connection.recv())

    waiting = ask()
    while waiting:
        item = session.items[waiting.popleft()]
        if not waiting:
            waiting = ask()  # keeps the fixtures that the next unit needs
        following = session.items[waiting[0]] if waiting else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        connection.send(("finished", None))
        if session.shouldfail or session.shouldstop:
            session._setupstate.teardown_exact(None)
            return


class _Forwarder:
    """Sends the reports and warnings of the lane's tests to the parent process, which prints them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.connection: Connection | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._send("report", data)

    def pytest_warning_recorded(
        self, warning_message: Any, when: str, nodeid: str, location: Any
    ) -> None:
        places = {"when": when, "nodeid": nodeid, "location": location}
        self._send("warning", {"warning_message": warning_message} | places)

    def _send(self, kind: str, content: object) -> None:
        if self.connection is not None:
            self.connection.send((kind, content))
