"""The broker is a doorbell: if it is down, nothing is lost; without a ring, nothing starts."""

import signal
import time

import pytest

from tests.e2e.conftest import make_job
from tests.e2e.service import Service


def test_a_job_submitted_while_the_broker_is_down_starts_when_it_returns(service: Service) -> None:
    service.stop("broker", signal.SIGKILL)
    spec = make_job(service, steps=1)

    began = time.monotonic()
    job_id = service.post_job(**spec)
    assert time.monotonic() - began < 2
    assert service.job(job_id)["status"] == "queued"
    service.start_broker()

    assert service.wait_for_end(job_id)["status"] == "succeeded", service.logs()


@pytest.mark.slow
def test_no_job_starts_without_a_ring_and_a_forged_ring_starts_exactly_one(
    service: Service,
) -> None:
    service.stop("api")
    service.start_api(STEPLINE_DOORBELL="false")
    time.sleep(2.5)  # earlier rings have expired by then
    job_id = service.post_job(**make_job(service, steps=1))

    deadline = time.monotonic() + 3  # six sweeps, three hellos
    while time.monotonic() < deadline:
        assert service.job(job_id)["status"] == "queued"
        time.sleep(0.1)
    service.ring()
    assert service.wait_for_end(job_id)["status"] == "succeeded", service.logs()
    service.ring()
    assert len(service.get(f"/v1/jobs/{job_id}/attempts")["data"]) == 1
