"""The broker is disposable: if it is killed, flushed, hung or absent, jobs start later, but nothing else changes."""

import signal

import pytest
from redis import Redis

from tests.e2e.service import wait_for
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_sqlite_first, slow_on_both
from tests.faults.losses.test_worker_loss import post, statuses


@pytest.mark.slow
@on_sqlite_first
def test_rings_are_sent_again_after_the_broker_is_flushed(cluster: Cluster) -> None:
    cluster.stop("worker")
    job_id = post(cluster, 20)
    with Redis(port=cluster.broker_link.port) as redis:
        wait_for(lambda: bool(redis.keys("*")), 10, cluster.logs)
        redis.flushall()
    cluster.start_worker()

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@slow_on_both
@pytest.mark.parametrize("mode", ["refuse", "reset", "blackhole"])
def test_an_unreachable_broker_delays_the_next_job_but_not_running_jobs(
    cluster: Cluster, mode: str
) -> None:
    running = post(cluster, 100)
    cluster.wait_for_step(running, 5)

    cluster.broker_link.set(mode)
    waiting = post(cluster, 10)
    assert cluster.wait_for_end(running)["status"] == "succeeded", cluster.logs()
    cluster.broker_link.set("pass")

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, running) == ["succeeded"]
    assert statuses(cluster, waiting) == ["succeeded"]


@slow_on_both
def test_killing_the_broker_during_training_affects_no_job(cluster: Cluster) -> None:
    running = post(cluster, 100)
    cluster.wait_for_step(running, 5)
    cluster.stop("broker", signal.SIGKILL)
    waiting = post(cluster, 10)
    cluster.start_broker()

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, running) == ["succeeded"]
    assert statuses(cluster, waiting) == ["succeeded"]
