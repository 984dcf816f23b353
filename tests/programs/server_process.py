"""The server as a separate process, for tests that need real sockets, signals or memory."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from app.db.engine import Database
from app.migrate import migrate
from tests.programs.forked_servers import ForkedServer
from tests.programs.ports import find_free_port
from tests.programs.waiting import wait_for

TOKEN = "worker-token-of-a-test"
"""The worker token of all servers in tests."""
SPEC = {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}


class Server:
    """A server process; `close` kills it."""

    program: tuple[str, ...] = ()
    """The command line that starts the server. If empty, the server is forked from a process that has imported its code."""

    def __init__(self, directory: Path, database_url: str, **settings: object) -> None:
        self.port = find_free_port()
        self.log = directory / "server.log"
        self._environment = os.environ | {
            "STEPLINE_DATABASE_URL": database_url,
            "STEPLINE_DATA_DIR": str(directory / "files"),
            "STEPLINE_WORKER_TOKEN": TOKEN,
            "STEPLINE_PORT": str(self.port),
            "STEPLINE_DOORBELL": "false",
            **{f"STEPLINE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False
        )

    def start(self) -> None:
        with self.log.open("ab") as log:
            if self.program:
                self.process: subprocess.Popen[bytes] | ForkedServer = subprocess.Popen(
                    self.program,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            else:
                self.process = ForkedServer(self._environment, log.fileno())
        wait_for(self._is_ready, self.log.read_text)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal and return the seconds until the process ends."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        return time.monotonic() - began

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            return self.client.get("/healthz").status_code == 200
        return False

    def post(self, **changes: Any) -> httpx2.Response:
        return self.client.post("/v1/jobs", json=SPEC | changes)

    def wait_for_line(self, text: str) -> None:
        """Wait until the log contains `text`. The server logs a request only after it has responded."""
        wait_for(lambda: text in self.log.read_text(encoding="utf-8"), self.log.read_text)

    def log_lines(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class StartedServer(Server):
    """A server that is started with the command that users run."""

    program = (sys.executable, "-m", "app.main")


def migrated(directory: Path) -> str:
    """Create a migrated SQLite database in the directory; return its URL."""
    path = directory / "stepline.db"
    path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


@functools.cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "stepline.db"
        database = Database(f"sqlite:///{path}")
        migrate(database)
        database.close()
        return path.read_bytes()


@contextlib.contextmanager
def running(directory: Path, database_url: str, **settings: object) -> Iterator[Server]:
    """Run a server in the directory; kill it at the end."""
    with kept_running(Server(directory, database_url, **settings)) as server:
        yield server


@contextlib.contextmanager
def kept_running(server: Server) -> Iterator[Server]:
    """Start the server; kill it at the end."""
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:
    """Serve an application from this process, with uvicorn's options; yield its port."""
    port = find_free_port()
    config = uvicorn.Config(app, port=port, lifespan="off", log_config=None, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        thread.join()
