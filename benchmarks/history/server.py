"""Starts a server of Stepline on a new database, and sends it claims and syncs, as a worker does."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2

from app.db.engine import Database
from app.migrate import migrate
from benchmarks.filling.points import wait_for
from contracts.attempt import Claim
from contracts.protocol.wire import CLAIM_PATH, SYNC_PATH
from tests.programs.ports import find_free_port
from tests.programs.postgres import Postgres, running_postgres

TOKEN = "token-of-a-benchmark"


@contextlib.contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a migrated database of this kind."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder}/stepline.db"
        if kind == "postgresql":
            postgres: Postgres = stack.enter_context(running_postgres(fsync=True))
            url = postgres.url(postgres.create_database())
        database = Database(url)
        migrate(database)
        database.close()
        yield url


class Server:
    """One server process."""

    def __init__(self, folder: Path, url: str, **settings: object) -> None:
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx2.Client(base_url=self.url, timeout=120, trust_env=False)
        self._log = folder / "server.log"
        self._environment = os.environ | {
            "STEPLINE_DATABASE_URL": url,
            "STEPLINE_DATA_DIR": str(folder / "files"),
            "STEPLINE_WORKER_TOKEN": TOKEN,
            "STEPLINE_PORT": str(self.port),
            "STEPLINE_DOORBELL": "false",
            "STEPLINE_STREAMS": "0",  # no caps, because all streams come from one address
            "STEPLINE_STREAMS_PER_PEER": "0",
            "STEPLINE_CONNECTIONS_PER_PEER": "0",
            "STEPLINE_TAKEOVER_SECONDS": "86400",  # so that a measured job is not queued again
            **{f"STEPLINE_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def start(self) -> None:
        """Start the server and wait until it responds."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.main"], env=self._environment, stdout=log, stderr=log
            )
        wait_for(lambda: self.client.get("/healthz").status_code == 200, self._log)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def claim(self) -> Claim:
        """Submit a job and claim it."""
        spec = {"model": "m", "dataset": {"train": {"hub": "someone/data"}}}
        self.client.post("/v1/jobs", json=spec).raise_for_status()
        worker = {"worker_id": "benchmark"}
        answer = self.client.post(
            CLAIM_PATH, json={"worker": worker}, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        return Claim.model_validate_json(answer.raise_for_status().content)

    def sync(self, claim: Claim, body: bytes) -> None:
        """Send one sync."""
        headers = {"Authorization": f"Bearer {claim.token}", "Content-Type": "application/json"}
        path = SYNC_PATH.format(attempt_id=claim.attempt_id)
        self.client.post(path, content=body, headers=headers).raise_for_status()
