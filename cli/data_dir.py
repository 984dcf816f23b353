"""The data directory of `stepline up`: its paths, its worker token, and its lock."""

import fcntl
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class DataDirInUse(Exception):
    """Another `stepline up` is using this data directory; the message identifies it."""


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return the default data directory of `stepline up`."""
    base = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "stepline"


@dataclass(frozen=True)
class DataDir:
    """Paths under one data directory."""

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.path / "stepline.db"

    @property
    def files(self) -> Path:
        """The server's uploads and artifacts."""
        return self.path / "files"

    @property
    def work(self) -> Path:
        """The worker's run directories."""
        return self.path / "work"

    @property
    def models(self) -> Path:
        """The default models root."""
        return self.path / "models"

    @property
    def valkey(self) -> Path:
        """The broker's files."""
        return self.path / "valkey"

    @property
    def logs(self) -> Path:
        """Log files, one per part."""
        return self.path / "logs"

    def create(self) -> None:
        """Create any missing directories, readable only by this user."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.files, self.work, self.models, self.valkey, self.logs):
            path.mkdir(mode=0o700, exist_ok=True)

    def worker_token(self) -> str:
        """Return the worker token. It is created on first use, in a file that only this user can read."""
        path = self.path / "worker-token"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        token = secrets.token_urlsafe(32)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        return token

    def lock(self, note: str) -> int:
        """Lock this directory until the returned descriptor is closed. Raises DataDirInUse if it is already locked."""
        path = self.path / "up.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirInUse(path.read_text().strip()) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, note.encode())
        return descriptor
