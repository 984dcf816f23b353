"""A pause, a resume on another worker, and a worker that comes back, with real training and real processes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import make_job, place_model
from tests.e2e.service import Service, wait_for


@pytest.fixture(scope="module")
def service(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose takeover time does not end within a test."""
    never = {"STEPLINE_TAKEOVER_SECONDS": "600"}
    with Service(tmp_path_factory.mktemp("pausing"), **never) as running:
        place_model(running, tiny_model)
        yield running


def _ask(service: Service, job_id: str, action: str) -> Any:
    response = service.client.post(f"/v1/jobs/{job_id}/{action}")
    assert response.status_code == 200, response.text
    return response.json()


def _codes(service: Service, job_id: str) -> list[str]:
    page = service.get(f"/v1/jobs/{job_id}/events", limit=100)
    codes = [event["code"] for event in page["data"]]
    while page["has_more"]:
        page = service.get(f"/v1/jobs/{job_id}/events", limit=100, cursor=page["cursor"])
        codes += [event["code"] for event in page["data"]]
    return codes


def _pause(service: Service, job_id: str) -> Any:
    _ask(service, job_id, "pause")
    return service.wait_for_job(job_id, lambda job: job["status"] == "paused")


def _assert_one_line(service: Service, job_id: str, steps: int) -> None:
    assert [point["step"] for point in service.losses(job_id)] == list(range(1, steps + 1))


def test_a_paused_job_resumes_from_its_checkpoint_on_another_worker(
    service: Service, tmp_path: Path
) -> None:
    steps = 60
    job_id = service.post_job(
        **make_job(service, steps=steps, checkpoint={"every_steps": 10, "upload": "on_pause"})
    )
    service.wait_for_step(job_id, 12)

    paused = _pause(service, job_id)

    assert service.trainers() == []
    assert paused["pause_requested_at"] is None
    checkpoints = service.get(f"/v1/jobs/{job_id}/checkpoints")["data"]
    assert [c["stored"] for c in checkpoints] == [True, False], (
        "the pause's checkpoint is stored, the earlier one is only on disk"
    )
    paused_at = checkpoints[0]["step"]
    assert paused_at >= 12

    service.stop("worker")
    service.start_worker("elsewhere", STEPLINE_WORK_DIR=str(tmp_path / "elsewhere"))
    _ask(service, job_id, "resume")
    assert service.wait_for_end(job_id, 180)["status"] == "succeeded", service.logs()

    _assert_one_line(service, job_id, steps)
    attempts = {point["attempt"] for point in service.losses(job_id)[paused_at:]}
    assert attempts == {2}, "no step is trained twice"
    second = service.get(f"/v1/jobs/{job_id}/attempts")["data"][-1]
    assert (second["resumed_from"], second["resumed_step"]) == (1, paused_at)
    assert "resuming_stored" in _codes(service, job_id)
    service.stop("elsewhere")
    service.start_worker()


@pytest.mark.slow
def test_a_job_without_uploads_resumes_from_its_workers_disk(service: Service) -> None:
    job_id = service.post_job(
        **make_job(service, steps=40, checkpoint={"every_steps": 1000, "upload": "never"})
    )
    service.wait_for_step(job_id, 5)
    _pause(service, job_id)
    assert [c["stored"] for c in service.get(f"/v1/jobs/{job_id}/checkpoints")["data"]] == [False]

    _ask(service, job_id, "resume")

    assert service.wait_for_end(job_id, 180)["status"] == "succeeded", service.logs()
    _assert_one_line(service, job_id, 40)
    assert "resuming_local" in _codes(service, job_id)


@pytest.mark.slow
def test_a_restarted_worker_releases_its_job_before_the_takeover_time_ends(
    service: Service,
) -> None:
    job_id = service.post_job(
        **make_job(service, steps=2000, checkpoint={"every_steps": 5, "upload": "always"})
    )
    service.wait_for_job(
        job_id,
        lambda _: any(c["stored"] for c in service.get(f"/v1/jobs/{job_id}/checkpoints")["data"]),
    )
    worker = service.parts["worker"]

    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: not service.trainers(), 5, service.logs)
    worker.stop(lambda: True)
    service.start_worker()

    second = service.wait_for_job(
        job_id, lambda job: job["attempt"] == 2 and job["phase"] == "training"
    )
    assert second["status"] == "running"
    codes = _codes(service, job_id)
    assert "attempt_abandoned" in codes
    assert "resuming_local" in codes
    cancelled = service.cancel(job_id)
    assert cancelled["status"] == "cancelled"
    assert service.trainers() == []

    # The checkpoints survive the cancel, so a retry resumes from one of them.
    _ask(service, job_id, "retry")
    service.wait_for_job(job_id, lambda job: job["attempt"] == 3 and job["phase"] == "training")
    assert _codes(service, job_id).count("resuming_local") == 2
    service.cancel(job_id)
    assert service.client.delete(f"/v1/jobs/{job_id}").status_code == 200
    files = service.directory / "files" / "checkpoints" / job_id
    wait_for(lambda: not files.exists(), 10, service.logs)  # they are deleted after the response
