"""A worker that cannot reach the server keeps training, and does no harm after another worker has taken over."""

import time

import pytest

from tests.e2e.service import wait_for
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import (
    on_postgresql_first,
    on_sqlite_first,
    slow_on_both,
)
from tests.faults.losses.test_worker_loss import post, statuses

SCALED_HOUR_SECONDS = 3600 / 20


@pytest.mark.slow
@on_sqlite_first
def test_a_partition_shorter_than_the_takeover_time_loses_nothing(cluster: Cluster) -> None:
    job_id = post(cluster, 60)
    cluster.wait_for_step(job_id, 5)
    training = cluster.find_training()

    cluster.links["worker"].set("refuse")
    cluster.wait_for_job(job_id, lambda job: job["unreachable"])
    cluster.links["worker"].set("pass")

    cluster.wait_for_job(job_id, lambda job: not job["unreachable"])
    assert cluster.find_training() in {training, None}
    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@on_postgresql_first
def test_requests_that_arrive_after_the_takeover_are_rejected_and_the_superseded_worker_stops(
    cluster: Cluster,
) -> None:
    job_id = post(cluster, 1_000)
    cluster.wait_for_step(job_id, 5)
    training = cluster.find_training()

    with cluster.cut_off("worker"):
        cluster.links["worker"].set("blackhole")  # requests sent during this time arrive late
        cluster.start_worker("second")
        cluster.wait_for_job(job_id, lambda job: job["attempt"] == 2)
        cluster.links["worker"].set("pass")

    wait_for(
        lambda: cluster.find_training() != training,
        30,
        cluster.logs,
    )
    cluster.wait_for_job(job_id, lambda job: job["progress"]["step"] >= 1)
    cluster.cancel(job_id)
    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["lost", "cancelled"]


@slow_on_both
@pytest.mark.parametrize("mode", ["refuse", "reset"])
def test_after_a_partition_longer_than_the_takeover_time_exactly_one_attempt_succeeds(
    cluster: Cluster, mode: str
) -> None:
    job_id = post(cluster, 200)
    cluster.wait_for_step(job_id, 7)

    with cluster.cut_off("worker"):
        cluster.links["worker"].set(mode)
        cluster.start_worker("second")
        cluster.wait_for_job(job_id, lambda job: job["attempt"] == 2)
        cluster.links["worker"].set("pass")

    assert cluster.verdict(180).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["lost", "succeeded"]


@slow_on_both
def test_a_scaled_one_hour_outage_loses_no_step(cluster: Cluster) -> None:
    job_id = post(cluster, 1_500)
    cluster.wait_for_step(job_id, 5)
    training = cluster.find_training()

    cluster.stop("api")
    outage_end = time.monotonic() + SCALED_HOUR_SECONDS  # twenty times the takeover time
    while time.monotonic() < outage_end:
        assert cluster.find_training() in {training, None}
        time.sleep(0.5)
    cluster.start_api()

    assert cluster.verdict(300).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]
