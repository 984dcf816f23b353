"""A service with a tiny model, and three jobs, shared by all tests of this package."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stepline import Client, Job
from stepline.client.updates import Update
from tests.e2e.conftest import make_job, place_model, spec_of_job, tiny_rows
from tests.e2e.service import Service
from tests.tiny_model import make_tiny_qwen2

LONG = 1_000_000
"""Steps of a job that does not end during the tests."""


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    model = make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny-qwen2")
    with Service(tmp_path_factory.mktemp("service")) as running:
        place_model(running, model)
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as opened:
        yield opened


@dataclass
class Watched:
    """A job that has succeeded, and the updates received while uploading its rows and watching it."""

    job: Job
    file_bytes: int
    sent_bytes: list[int] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)


@pytest.fixture(scope="package")
def watched(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    rows = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows.write_text(tiny_rows(40))
    with Client(service.url) as opened:
        sent: list[int] = []
        dataset = opened.datasets.upload(rows, on_progress=lambda done, _: sent.append(done))
        job = opened.submit(spec_of_job(dataset.id, 30) | {"name": "first"})
        watched = Watched(job, rows.stat().st_size, sent)
        job.watch(watched.updates.append)
        yield watched


@pytest.fixture(scope="package")
def finished(watched: Watched) -> Job:
    return watched.job


@pytest.fixture(scope="package")
def running(service: Service, watched: Watched) -> str:
    """Return the id of a job that trains until the service stops."""
    job = service.post_job(**make_job(service, steps=LONG))
    service.wait_for_step(job, 1)
    service.lower_training_priority()
    return job


@pytest.fixture
def environment(service: Service, tmp_path: Path) -> dict[str, str]:
    changing = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "LANG", "LC_MESSAGES", "LANGUAGE"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STEPLINE_") and name not in changing
    }
    return kept | {
        "STEPLINE_SERVER_URL": service.url,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "LC_ALL": "C.UTF-8",
    }
