"""What happens to a running job if its worker, its training process or its server fails."""

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.conftest import make_job, spec_of_job
from tests.e2e.service import Service, wait_for
from tests.programs.processes import find_processes

ENDLESS = 1_000_000
WORN = 4
"""Tests inject no more faults into a job that has reached this attempt, because a job fails after three losses."""


def _attempts(service: Service, job_id: str) -> list[Any]:
    attempts: list[Any] = service.get(f"/v1/jobs/{job_id}/attempts")["data"]
    return sorted(attempts, key=lambda attempt: int(attempt["number"]))


def _status_of(service: Service, job_id: str, number: int) -> str:
    return str(_attempts(service, job_id)[number - 1]["status"])


def _of_the_worker(service: Service) -> list[int]:
    """Return the ids of all live worker processes: main, pool and training."""
    found = find_processes(service.mark, service.directory)
    programs = ("worker.celery_app", "-m worker.training")
    return [pid for pid, command in found.items() if any(name in command for name in programs)]


def _wait_until_trained(service: Service, job_id: str, attempt: int) -> None:
    def is_trained(job: Any) -> bool:
        # The job shows the previous attempt's progress until this one reports its own.
        return (
            job["attempt"] == attempt
            and job["phase"] in {"training", "evaluating"}
            and job["progress"]["step"] >= 2
        )

    service.wait_for_job(job_id, is_trained)


@pytest.fixture
def running(service: Service) -> tuple[str, int]:
    """Return a running job to inject a fault into, and its attempt number. Later tests reuse the job while it is running."""
    jobs = service.get("/v1/jobs", status="running")["data"]
    fresh = [job for job in jobs if job["attempt"] < WORN]
    if fresh:
        job_id, attempt = fresh[0]["id"], fresh[0]["attempt"]
    else:
        for job in jobs:
            service.cancel(job["id"])
        job_id, attempt = service.post_job(**make_job(service, steps=ENDLESS)), 1
    _wait_until_trained(service, job_id, attempt)
    service.lower_training_priority()
    return job_id, attempt


def test_a_worker_that_gets_sigterm_returns_its_job_to_the_queue(
    service: Service, running: tuple[str, int]
) -> None:
    job_id, attempt = running

    service.stop("worker", signal.SIGTERM)

    assert service.trainers() == []
    assert service.job(job_id)["status"] == "queued"
    assert _status_of(service, job_id, attempt) == "interrupted"
    newest = service.get(f"/v1/jobs/{job_id}/checkpoints")["data"][0]
    assert newest["stored"], "any other worker could resume from here"
    service.start_worker()
    _wait_until_trained(service, job_id, attempt + 1)


def test_a_job_whose_training_process_was_killed_is_retried(
    service: Service, running: tuple[str, int]
) -> None:
    job_id, attempt = running
    [trainer] = service.trainers()

    os.kill(trainer, signal.SIGKILL)

    _wait_until_trained(service, job_id, attempt + 1)
    failed = _attempts(service, job_id)[attempt - 1]
    assert failed["status"] == "failed"
    assert "child_killed" in str(failed)


def test_training_ends_when_its_worker_is_killed_and_another_worker_takes_over(
    service: Service, running: tuple[str, int]
) -> None:
    job_id, attempt = running

    os.kill(service.parts["worker"].pid, signal.SIGKILL)

    wait_for(lambda: not _of_the_worker(service), 5, service.logs)
    service.parts["worker"].stop(lambda: True)
    service.start_worker()
    _wait_until_trained(service, job_id, attempt + 1)
    assert _status_of(service, job_id, attempt) == "lost"


@pytest.mark.slow
def test_a_suspended_attempt_stops_when_it_wakes_after_the_takeover(
    service: Service, running: tuple[str, int]
) -> None:
    job_id, attempt = running
    [sleeper] = service.trainers()
    frozen = [
        pid
        for pid, command in find_processes(service.mark, service.directory).items()
        if "worker.celery_app" in command or pid == sleeper
    ]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)

    service.start_worker("second")
    _wait_until_trained(service, job_id, attempt + 1)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)

    wait_for(lambda: sleeper not in service.trainers(), 10, service.logs)
    assert _status_of(service, job_id, attempt) == "lost"
    assert _status_of(service, job_id, attempt + 1) == "running"
    service.cancel(job_id)
    service.stop("second")


@pytest.mark.slow
def test_a_killed_job_on_two_weighted_datasets_continues_with_the_same_losses(
    service: Service,
) -> None:
    for job in service.get("/v1/jobs", status="running")["data"]:
        service.cancel(job["id"])
    rows = [{"prompt": f"{n}", "completion": f"{n + 1}"} for n in range(40)]
    many, few = (
        service.upload_dataset("".join(f"{json.dumps(row)}\n" for row in part))
        for part in (rows[:24], rows[24:])
    )
    train = [{"dataset": many, "weight": 0.5}, {"dataset": few, "weight": 2}]
    spec = spec_of_job(many, steps=200) | {
        "dataset": {"train": train, "eval_size": 8},
        "checkpoint": {"every_steps": 20},
    }

    killed = service.post_job(**spec)
    service.wait_for_job(killed, lambda job: job["progress"]["step"] >= 30)
    [trainer] = service.trainers()
    os.kill(trainer, signal.SIGKILL)
    straight = service.post_job(**spec)

    assert service.wait_for_end(killed)["attempt"] == 2, service.logs()
    assert service.wait_for_end(straight)["status"] == "succeeded", service.logs()
    found, expected = (
        [(point["step"], point["loss"]) for point in service.losses(job)]
        for job in (killed, straight)
    )
    assert len(expected) == 200
    assert found == expected
    summaries = [service.get(f"/v1/jobs/{job}/summary") for job in (killed, straight)]
    assert [each["eval_loss"] for each in summaries] == [summaries[0]["eval_loss"]] * 2
    # 5 and 3 rows are held out. Half of the other 19 are used once, and all of the other 13 twice.
    assert summaries[0]["mixture"] == [
        {"dataset": many, "weight": 0.5, "rows": 10, "used_rows": 10},
        {"dataset": few, "weight": 2.0, "rows": 13, "used_rows": 26},
    ]
    assert (summaries[0]["train_rows"], summaries[0]["eval_rows"]) == (36, 8)


def test_an_outage_of_the_server_and_the_broker_interrupts_no_training_and_loses_no_record(
    service: Service,
) -> None:
    for job in service.get("/v1/jobs", status="running")["data"]:
        service.cancel(job["id"])
    job_id = service.post_job(**make_job(service, steps=200))
    service.wait_for_step(job_id, 2)
    [trainer] = service.trainers()

    service.stop("broker", signal.SIGKILL)
    service.stop("api", signal.SIGKILL)
    time.sleep(1)
    assert service.trainers() == [trainer]
    service.start_broker()
    service.start_api()

    assert service.wait_for_end(job_id)["status"] == "succeeded", service.logs()
    assert [point["step"] for point in service.losses(job_id)] == list(range(1, 201))
    assert len(_attempts(service, job_id)) == 1
    later_id = service.post_job(**make_job(service, steps=1))
    assert service.wait_for_end(later_id)["status"] == "succeeded", service.logs()
