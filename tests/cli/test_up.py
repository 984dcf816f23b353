"""`stepline up` as a person meets it: as a process at a terminal."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import find_free_port
from tests.processes import MARK, find_processes, wait_until_gone

STOP_SECONDS = 10


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    port: int
    home: Path
    printed: Path

    @property
    def said(self) -> str:
        return self.printed.read_text()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while "Stepline is ready" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:  # http
            return int(answer.status)

    def wait_until_nothing_is_left(self) -> None:
        wait_until_gone(str(self.home), self.home, STOP_SECONDS)


@contextmanager
def _up(tmp_path: Path, port: int | None = None, home: Path | None = None) -> Iterator[Up]:
    home = home or tmp_path / "data"
    port = port or find_free_port()
    printed = tmp_path / f"printed-{time.monotonic_ns()}"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STEPLINE_")
    } | {MARK: str(home), "STEPLINE_HUB": "false"}
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--port", str(port), "--data-dir", str(home)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Up(process, port, home, printed)
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_stops_everything_and_leaves_no_process(tmp_path: Path) -> None:
    with _up(tmp_path) as up:
        up.wait_until_ready()
        assert up.get("/healthz") == 200
        names = " ".join(find_processes(str(up.home), up.home).values())
        assert all(part in names for part in ("valkey-server", "app.main", "worker.celery_app"))
        assert stat.S_IMODE((up.home / "worker-token").stat().st_mode) == 0o600

        # The terminal sends it to the whole group.
        os.killpg(up.process.pid, signal.SIGINT)

        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()
        assert "Traceback" not in up.said


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    with _up(tmp_path) as up:
        up.wait_until_ready()

        up.process.kill()
        up.process.wait()

        up.wait_until_nothing_is_left()


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    with _up(tmp_path) as up:
        up.wait_until_ready()
        processes = find_processes(str(up.home), up.home)
        broker = next(pid for pid, name in processes.items() if "valkey-server" in name)

        os.kill(broker, signal.SIGKILL)

        deadline = time.monotonic() + 20
        while not any(
            "valkey-server" in name and pid != broker
            for pid, name in find_processes(str(up.home), up.home).items()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "broker ended with -9" in up.said
        up.process.terminate()
        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()


def test_a_second_one_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with _up(tmp_path) as first:
        first.wait_until_ready()
        with _up(tmp_path, home=first.home) as second:
            assert second.process.wait(20) == 1
            assert "already uses" in second.said
            assert str(first.port) in second.said
        assert first.get("/healthz") == 200
        first.process.send_signal(signal.SIGHUP)
        assert first.process.wait(STOP_SECONDS) == 0


def test_a_port_that_is_taken_is_refused_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _up(tmp_path, port=port) as up:
            assert up.process.wait(20) == 1
            assert f"port {port}" in up.said
            assert "--port" in up.said
            assert "Traceback" not in up.said


def test_told_to_stop_while_starting_it_stops(tmp_path: Path) -> None:
    with _up(tmp_path) as up:
        deadline = time.monotonic() + 20
        while "Starting" not in up.said:
            assert time.monotonic() < deadline
            time.sleep(0.01)

        up.process.send_signal(signal.SIGINT)

        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()
