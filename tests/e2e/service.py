"""Service: a complete Stepline in one directory, for tests. Its Valkey, API, Celery worker and training are real.

Its times are those of production, scaled down so that tests can wait for leases and rings. Every process that a Service
starts, and every descendant, ends with the `with` block or with the test's process.
"""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
from celery import Celery

from cli import broker
from cli.part import Part
from contracts.protocol.wire import TASK_NAME, celery_queue
from tests.programs import waiting
from tests.programs.ports import find_free_port
from tests.programs.processes import find_processes, lower_priority, marked, wait_until_gone

WORKER_TOKEN = "worker-token-of-a-test"
OFFLINE = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
FAST = {
    "STEPLINE_FLUSH_SECONDS": "0.2",
    "STEPLINE_SYNC_SECONDS": "1",
    "STEPLINE_LEASE_SECONDS": "4",
    "STEPLINE_TAKEOVER_SECONDS": "8",
    "STEPLINE_SWEEP_SECONDS": "0.5",
    "STEPLINE_RING_SECONDS": "2",
    "STEPLINE_RETRY_SECONDS": "0.5",
    "STEPLINE_HELLO_SECONDS": "1",
    "STEPLINE_CONTROL_SECONDS": "20",
    "STEPLINE_TERM_SECONDS": "20",
    "STEPLINE_PATIENCE_SECONDS": "60",
    "STEPLINE_CLAIM_PATIENCE_SECONDS": "2",
}
FINAL = ("succeeded", "failed", "cancelled")


class Service:
    """Each part can be started and stopped separately; `with Service(...)` starts them all."""

    def __init__(self, directory: Path, database_url: str | None = None, **settings: str) -> None:
        self.directory = directory
        self.mark = uuid.uuid4().hex
        self.port = find_free_port()
        self.models = directory / "models"
        for path in (self.models, directory / "valkey", directory / "logs"):
            path.mkdir(parents=True)
        self._socket = broker.choose_socket(directory / "valkey")
        self.broker_url = f"redis+socket://{self._socket}"
        # The tests of training set OFFLINE for their own process, in which these tests may run too.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("STEPLINE_") and name not in OFFLINE
        }
        self.environment = (
            inherited
            | FAST
            | {
                **marked(self.mark),
                "STEPLINE_DATABASE_URL": database_url or f"sqlite:///{directory}/stepline.db",
                "STEPLINE_BROKER_URL": self.broker_url,
                "STEPLINE_DATA_DIR": str(directory / "files"),
                "STEPLINE_WORK_DIR": str(directory / "work"),
                "STEPLINE_MODELS_DIR": str(self.models),
                "STEPLINE_WORKER_TOKEN": WORKER_TOKEN,
                "STEPLINE_SERVER_URL": self.url,
                "STEPLINE_HOST": "127.0.0.1",
                "STEPLINE_PORT": str(self.port),
                "STEPLINE_DEVICE": "cpu",
                # Allows the hub, so that POST accepts any model name; no hub is reachable.
                "STEPLINE_HUB": "true",
                "HF_ENDPOINT": "http://127.0.0.1:9",
                "HF_HOME": str(directory / "hub"),
                "OMP_NUM_THREADS": "1",
            }
            | settings
        )
        self.client = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)
        self.parts: dict[str, Part] = {}
        self.api_program: tuple[str, ...] = ("-m", "app.main")
        self.worker_program: tuple[str, ...] = ("-m", "worker.celery_app")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.start_broker()
            self.migrate()
            self.start_api()
            self.start_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for part in reversed(self.parts.values()):
            part.stop(lambda: True)
        wait_until_gone(self.mark, self.directory, 5)
        broker.forget_socket(self.directory / "valkey", self._socket)

    # Parts

    def start_broker(self) -> None:
        configuration = broker.write_configuration(self.directory / "valkey", self._socket)
        part = self._start("broker", [str(broker.valkey_server()), str(configuration)])
        wait_for(lambda: broker.answers(self._socket), 10, part.last_lines)

    def migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "app.migrate"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def start_api(self, **settings: str) -> None:
        part = self._start("api", [sys.executable, *self.api_program], settings)
        wait_for(lambda: self._is_healthy(part), 30, part.last_lines)

    def start_worker(self, name: str = "worker", **settings: str) -> Part:
        settings = {"STEPLINE_WORKER_NAME": name} | settings
        part = self._start(name, [sys.executable, *self.worker_program], settings)
        wait_for(lambda: self._has_sent_hello(part), 30, part.last_lines)
        return part

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> None:
        """Send a part a signal and wait until it has ended."""
        part = self.parts[name]
        os.kill(part.pid, number)
        wait_for(lambda: not part.is_running, seconds, part.last_lines)
        part.stop(lambda: True)

    def _start(
        self, name: str, program: Sequence[str], settings: dict[str, str] | None = None
    ) -> Part:
        part = Part(
            name,
            program,
            self.environment | (settings or {}),
            self.directory / "logs" / f"{name}.log",
            [(signal.SIGTERM, 5)],
        )
        part.start()
        self.parts[name] = part
        return part

    def _is_healthy(self, part: Part) -> bool:
        assert part.is_running, part.last_lines()
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def _has_sent_hello(self, part: Part) -> bool:
        assert part.is_running, part.last_lines()
        return any(worker["pid"] == part.pid for worker in self.get("/v1/workers")["data"])

    # Requests and waiting

    def get(self, path: str, **query: Any) -> Any:
        response = self.client.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def upload_dataset(self, rows: str) -> str:
        """Upload JSONL; return the dataset's id."""
        response = self.client.post("/v1/datasets", files={"file": ("rows.jsonl", rows.encode())})
        assert response.status_code in {200, 201}, response.text
        return str(response.json()["id"])

    def post_job(self, **spec: Any) -> str:
        """Submit a job; return its id."""
        response = self.client.post("/v1/jobs", json=spec)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def cancel(self, job_id: str, seconds: float = 30) -> Any:
        """Cancel a job; return it once it has ended."""
        response = self.client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.is_success, response.text
        return self.wait_for_end(job_id, seconds)

    def job(self, job_id: str) -> Any:
        return self.get(f"/v1/jobs/{job_id}")

    def losses(self, job_id: str) -> list[Any]:
        data: list[Any] = self.get(f"/v1/jobs/{job_id}/loss")["data"]
        return data

    def wait_for_job(self, job_id: str, is_met: Callable[[Any], bool], seconds: float = 180) -> Any:
        """Poll the job until it meets the condition; return it."""
        seen: list[Any] = [None]

        def look() -> bool:
            seen[0] = self.job(job_id)
            return is_met(seen[0])

        wait_for(look, seconds, lambda: f"{seen[0]}\n{self.logs()}")
        return seen[0]

    def wait_for_end(self, job_id: str, seconds: float = 180) -> Any:
        return self.wait_for_job(job_id, lambda job: job["status"] in FINAL, seconds)

    def wait_for_step(self, job_id: str, step: int, seconds: float = 180) -> Any:
        return self.wait_for_job(job_id, lambda job: job["progress"]["step"] >= step, seconds)

    def ring(self, queue: str = "default") -> None:
        """Ring the doorbell as anyone with access to the broker could."""
        with Celery(broker=self.broker_url, set_as_current=False) as app:
            app.send_task(TASK_NAME, queue=celery_queue(queue), expires=30, ignore_result=True)

    def trainers(self) -> list[int]:
        """Return the process ids of running training programs."""
        found = find_processes(self.mark, self.directory)
        return [pid for pid, command in found.items() if "-m worker.training" in command]

    def lower_training_priority(self) -> None:
        """Lower the priority of the current training processes to keep them from slowing down the tests."""
        for pid in self.trainers():
            with contextlib.suppress(ProcessLookupError):  # the process has ended in the meantime
                lower_priority(pid)

    def logs(self) -> str:
        """Return the end of every part's log, for the message of a failed test."""
        return "\n".join(f"--- {name}\n{part.last_lines(40)}" for name, part in self.parts.items())


def wait_for(is_met: Callable[[], bool], seconds: float, evidence: Callable[[], str]) -> None:
    """Poll until the condition holds. After the deadline, raises AssertionError with the evidence."""
    waiting.wait_for(is_met, evidence, seconds, interval_seconds=0.1)
