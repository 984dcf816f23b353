"""Project: the services of docker-compose.yml in containers, under a project name of their own.

The GPU worker's container gets the stub of NVML in place of the host's cards, so the host needs neither a GPU nor NVIDIA's container
toolkit. Everything else is as in production: images, entry points, users, volumes and health checks.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from tests.programs.ports import find_free_port
from tests.programs.waiting import wait_for

ROOT = Path(__file__).parents[3]
COMPOSE = "STEPLINE_TEST_COMPOSE"
WORKER = "worker"
SERVICES = """\
services:
  init: {{image: stepline-test-server}}
  migrate: {{image: stepline-test-server}}
  api: {{image: stepline-test-server}}
  worker:
    image: stepline-test-worker
    environment:
      LD_LIBRARY_PATH: /stub
      STUB_GPUS: {gpus}
      PYTHONPATH: "${{TEST_PYTHONPATH:-}}"
      STEPLINE_ALLOW_TRACING: "true" # so that a test can read the environment of each worker
    volumes: ["{stub}:/stub:ro", "{models}:/models:ro"]
    deploy: !reset null
    scale: ${{TEST_REPLICAS:-1}}
volumes:
  gpu-locks: {{name: {locks}}}
  work: {{name: {project}-work}} # podman-compose does not remove a volume whose name is the beginning of another's (worker-token)
"""
"""What the tests change: the names of the images and of the lock volume, to leave those of the host alone, and the cards."""


def compose_command() -> list[str]:
    """Return the compose command of this host's container engine, such as `docker compose`; fail the test if there is none."""
    if COMPOSE not in os.environ:
        pytest.fail(
            f"{COMPOSE} is not set: this test builds and starts containers. Set it to a compose command, such as 'docker compose'"
        )
    return shlex.split(os.environ[COMPOSE])


@dataclass(frozen=True)
class Host:
    """What the projects of one host share: its cards, its models and the volume of its locks."""

    stub: Path
    """Directory with the stub of NVML and no_cuda.py; users of containers can read it."""
    models: Path
    gpus: tuple[str, ...]
    name: str
    """Prefix of all names that the tests create."""


class Project:
    """The services of one compose project. Leaving the block removes its containers, networks and volumes."""

    def __init__(self, host: Host, name: str, directory: Path) -> None:
        self.name = f"{host.name}-{name}"
        override = directory / f"{name}.yml"
        override.write_text(
            SERVICES.format(
                gpus=" ".join(host.gpus),
                stub=host.stub,
                models=host.models,
                locks=f"{host.name}-locks",
                project=self.name,
            )
        )
        self._command = [
            *compose_command(),
            *("-p", self.name, "-f", str(ROOT / "docker-compose.yml"), "-f", str(override)),
        ]
        port = find_free_port()
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("STEPLINE_")
        } | {"STEPLINE_PORT": str(port)}
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.compose("down", "-v", "--remove-orphans", check=False)

    def compose(
        self, *arguments: str, check: bool = True, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a compose command. `variables` are those that the compose files read."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env={**self._environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def start_server(self) -> None:
        """Start all services but the workers, each after the ones that it depends on."""
        self.compose("run", "--rm", "--no-deps", "-T", "init")
        self.compose("up", "-d", "--no-deps", "postgres", "valkey")
        self.wait_until("healthy", "postgres")
        self.wait_until("healthy", "valkey")
        self.compose("run", "--rm", "--no-deps", "-T", "migrate")
        self.compose("up", "-d", "--no-deps", "api")
        self.wait_until("healthy", "api")

    def start_worker(self, *, has_cuda: bool = True, **variables: str) -> None:
        """Start a new container of the GPU worker. `has_cuda`: its cards pass the check, and jobs train."""
        variables["TEST_PYTHONPATH"] = "/stub" if has_cuda else ""
        self.compose("up", "-d", "--no-deps", "--force-recreate", WORKER, variables=variables)

    def add_replica(self) -> None:
        """Start a second container of the GPU worker, and leave the first as it is."""
        self._environment["TEST_REPLICAS"] = "2"
        path = {"TEST_PYTHONPATH": "/stub"}
        self.compose("up", "-d", "--no-deps", "--no-recreate", WORKER, variables=path)

    def wait_until(self, health: str, service: str, number: int = 1) -> None:
        """Wait until the engine reports this health of a container."""
        name = re.compile(rf"\b{self.name}[-_]{service}[-_]{number}\b")

        def is_reached() -> bool:
            lines = self.compose("ps").stdout.splitlines()
            return any(name.search(line) and f"({health})" in line for line in lines)

        wait_for(is_reached, self.evidence, interval_seconds=1)

    def in_worker(self, *command: str, number: int = 1) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of the GPU worker, whatever its exit status."""
        return self.compose("exec", "-T", "--index", str(number), WORKER, *command, check=False)

    def get(self, path: str, **query: str) -> Any:
        response = self.client.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, **body: Any) -> Any:
        response = self.client.post(path, **body)
        assert response.is_success, response.text
        return response.json()

    def workers(self, number: int = 1) -> dict[str, Mapping[str, Any]]:
        """Return the workers of a running container that the server reports, keyed by the uuid of their card."""
        container = self.in_worker("cat", "/etc/hostname", number=number).stdout.strip()
        listed = self.get("/v1/workers")["data"]
        return {each["device"]["uuid"]: each for each in listed if each["host"] == container}

    def wait_for_cards(self, *uuids: str) -> dict[str, Mapping[str, Any]]:
        """Wait until the workers of the container have these cards and no others; return them as `workers` does."""
        wait_for(lambda: set(self.workers()) == set(uuids), self.evidence, interval_seconds=0.5)
        return self.workers()

    def wait_for_job(self, job_id: str, is_met: Callable[[Any], bool]) -> Any:
        """Poll the job until it meets the condition; return it."""

        def look() -> Any:
            job = self.get(f"/v1/jobs/{job_id}")
            return job if is_met(job) else None

        return wait_for(look, lambda: f"{self.get(f'/v1/jobs/{job_id}')}\n{self.evidence()}")

    def evidence(self) -> str:
        """Return the state of the containers and the end of the workers' log, for the message of a failed test."""
        log = self.compose("logs", WORKER, check=False)
        return self.compose("ps", "-a", check=False).stdout + (log.stdout + log.stderr)[-5000:]
