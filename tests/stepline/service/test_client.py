"""The Python client against a complete, real service."""

import zipfile
from pathlib import Path

import pytest

from stepline import Client, Job, ServerUnreachable
from stepline.client.errors import Conflict, InvalidRequest, NotFound
from stepline.client.updates import Disconnected, Happened, Metrics, Rewound, StatusChanged, Update
from tests.e2e.conftest import make_job
from tests.e2e.service import Service
from tests.programs.ports import find_free_port
from tests.stepline.service.conftest import Watched

NOBODY = "nobody"
"""A queue without workers."""


def loss_steps(updates: list[Update]) -> list[int]:
    """Return the steps of all losses, in the order received; a new attempt discards those that it repeats."""
    steps: list[int] = []
    for update in updates:
        if isinstance(update, Rewound):
            steps = [step for step in steps if step <= update.step]
        elif isinstance(update, Metrics) and "loss" in update.series:
            steps += update.series["loss"].step
    return steps


def test_a_job_is_submitted_watched_and_downloaded(watched: Watched, tmp_path: Path) -> None:
    adapter = watched.job.download(tmp_path)

    assert watched.job.status == "succeeded"
    assert watched.sent_bytes[-1] == watched.file_bytes
    assert loss_steps(watched.updates) == list(range(1, 31))
    states = [update.job.status for update in watched.updates if isinstance(update, StatusChanged)]
    assert states[-1] == "succeeded"
    assert any(isinstance(update, Happened) for update in watched.updates)
    assert "adapter_model.safetensors" in zipfile.ZipFile(adapter).namelist()
    assert [path.name for path in tmp_path.iterdir()] == [adapter.name]
    assert watched.job.view.load_spec().training.max_steps == 30


def test_a_repeated_submission_creates_one_job(client: Client, service: Service) -> None:
    spec = make_job(service, queue=NOBODY)

    first = client.submit(spec, idempotency_key="a-key")
    second = client.submit(spec, idempotency_key="a-key")

    assert first.id == second.id


def test_a_rejected_request_raises_an_error_with_code_and_param(
    client: Client, service: Service, finished: Job
) -> None:
    spec = make_job(service) | {"training": {"epochs": 0, "seed": -1}}

    with pytest.raises(InvalidRequest) as invalid:
        client.submit(spec)
    with pytest.raises(NotFound):
        client.job("job_000000000000000000000000").refresh()
    with pytest.raises(Conflict):
        finished.pause()

    assert (invalid.value.code, invalid.value.param) == ("invalid_field", "training.epochs")
    assert [problem.param for problem in invalid.value.errors] == [
        "training.epochs",
        "training.seed",
    ]


def test_a_server_that_does_not_answer_raises_server_unreachable() -> None:
    with (
        Client(f"http://127.0.0.1:{find_free_port()}", attempts=2) as client,
        pytest.raises(ServerUnreachable),
    ):
        client.workers()


def test_a_watched_job_keeps_every_update_across_a_restart_of_the_server(
    client: Client, service: Service, running: str
) -> None:
    updates: list[Update] = []

    with client.job(running).updates() as received:
        for update in received:
            updates.append(update)
            lost = [place for place, each in enumerate(updates) if isinstance(each, Disconnected)]
            if isinstance(update, Metrics) and not lost:
                service.stop("api")
                service.start_api()
            if lost and loss_steps(updates[lost[-1] :]):
                break

    steps = loss_steps(updates)
    assert steps == list(range(1, len(steps) + 1))
