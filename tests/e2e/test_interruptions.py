"""What happens to a running job when its worker, its training process or its server goes away."""

import os
import signal
import time
from typing import Any

from tests.e2e.conftest import make_job
from tests.e2e.service import Service, wait_for
from tests.processes import find_processes

ENDLESS = 1_000_000


def _attempts(service: Service, job_id: str) -> list[Any]:
    attempts: list[Any] = service.get(f"/v1/jobs/{job_id}/attempts")["data"]
    return sorted(attempts, key=lambda attempt: int(attempt["number"]))


def _cancel(service: Service, job_id: str) -> None:
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert service.wait_for_end(job_id, 20)["status"] == "cancelled"


def test_a_worker_told_to_stop_hands_its_job_back(service: Service) -> None:
    job_id = service.post_job(**make_job(service, steps=ENDLESS))
    service.wait_for_step(job_id, 2)

    service.stop("worker", signal.SIGTERM)

    assert service.trainers() == []
    job = service.job(job_id)
    assert job["status"] == "queued"
    assert [each["status"] for each in _attempts(service, job_id)] == ["interrupted"]
    service.start_worker()
    service.wait_for_job(job_id, lambda job: job["attempt"] == 2 and job["progress"]["step"] >= 2)
    _cancel(service, job_id)


def test_a_training_process_killed_from_outside_is_tried_again(service: Service) -> None:
    job_id = service.post_job(**make_job(service, steps=ENDLESS))
    service.wait_for_step(job_id, 2)
    [trainer] = service.trainers()

    os.kill(trainer, signal.SIGKILL)

    service.wait_for_job(job_id, lambda job: job["attempt"] == 2 and job["status"] == "running")
    first = _attempts(service, job_id)[0]
    assert first["status"] == "failed"
    _cancel(service, job_id)


def test_an_outage_of_the_server_costs_no_training_and_no_record(service: Service) -> None:
    job_id = service.post_job(**make_job(service, steps=400))
    service.wait_for_step(job_id, 2)
    [trainer] = service.trainers()

    service.stop("api", signal.SIGKILL)
    time.sleep(1)
    assert service.trainers() == [trainer]
    service.start_api()

    assert service.wait_for_end(job_id)["status"] == "succeeded", service.logs()
    assert [point["step"] for point in service.losses(job_id)] == list(range(1, 401))
    assert len(_attempts(service, job_id)) == 1


def test_a_killed_worker_takes_its_training_with_it_and_another_takes_over(
    service: Service,
) -> None:
    job_id = service.post_job(**make_job(service, steps=ENDLESS))
    service.wait_for_step(job_id, 2)
    trainers = service.trainers()
    assert len(trainers) == 1

    os.kill(service.parts["worker"].pid, signal.SIGKILL)

    wait_for(lambda: not service.trainers(), 1, service.logs)
    service.parts["worker"].stop(lambda: True)
    service.start_worker()
    service.wait_for_job(job_id, lambda job: job["attempt"] == 2 and job["status"] == "running")
    assert _attempts(service, job_id)[0]["status"] == "lost"
    _cancel(service, job_id)


def test_an_attempt_that_was_taken_over_stops_when_it_wakes(service: Service) -> None:
    job_id = service.post_job(**make_job(service, steps=ENDLESS))
    service.wait_for_step(job_id, 2)
    [sleeper] = service.trainers()
    frozen = [
        pid
        for pid, command in find_processes(service.mark, service.directory).items()
        if "worker.celery_app" in command or pid == sleeper
    ]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)

    service.start_worker("second")
    service.wait_for_job(job_id, lambda job: job["attempt"] == 2 and job["progress"]["step"] >= 2)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)

    wait_for(lambda: sleeper not in service.trainers(), 10, service.logs)
    assert [each["status"] for each in _attempts(service, job_id)] == ["lost", "running"]
    _cancel(service, job_id)
    service.stop("second")
