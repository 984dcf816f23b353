"""A worker, its pool process or its training process is killed or suspended: the job still succeeds, and ends exactly once."""

import os
import signal

import pytest

from contracts.protocol.wire import CLAIM_PATH
from tests.e2e.conftest import make_job
from tests.e2e.service import wait_for
from tests.faults.harness.cluster import Cluster, is_alive
from tests.faults.harness.databases import on_postgresql_first, on_sqlite_first, slow_on_both

STEPS = 60
FINISH = b"/finish"


def post(cluster: Cluster, steps: int = STEPS) -> str:
    return cluster.post_job(**make_job(cluster, steps=steps, checkpoint={"every_steps": 5}))


def statuses(cluster: Cluster, job_id: str) -> list[str]:
    return [attempt["status"] for attempt in cluster.attempts(job_id)]


def kill_main(cluster: Cluster) -> None:
    training = cluster.find_training("worker")
    os.kill(cluster.parts["worker"].pid, signal.SIGKILL)
    wait_for(lambda: training is None or not is_alive(training), 30, cluster.logs)
    cluster.parts["worker"].stop(lambda: True)
    cluster.start_worker()


def kill_pool(cluster: Cluster) -> None:
    training = cluster.find_training("worker")
    os.kill(cluster.pool_process(), signal.SIGKILL)
    wait_for(lambda: training is None or not is_alive(training), 30, cluster.logs)


def kill_child(cluster: Cluster) -> None:
    training = cluster.find_training("worker")
    assert training is not None
    os.kill(training, signal.SIGKILL)


@on_sqlite_first
def test_a_worker_killed_before_it_receives_its_claim_loses_no_job(cluster: Cluster) -> None:
    claim = cluster.links["worker"].catch(CLAIM_PATH.encode())
    job_id = post(cluster)
    claim.wait()

    kill_main(cluster)
    claim.release()

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["interrupted", "succeeded"]


@pytest.mark.slow
@on_postgresql_first
def test_killing_the_pool_process_ends_the_training_and_the_job_resumes(
    cluster: Cluster,
) -> None:
    job_id = post(cluster)
    cluster.wait_for_step(job_id, 12)

    kill_pool(cluster)

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["lost", "succeeded"]


@slow_on_both
@pytest.mark.parametrize("kill", [kill_main, kill_pool])
@pytest.mark.parametrize("is_answer", [False, True], ids=["before", "after"])
def test_killing_a_worker_just_before_or_after_its_finish_neither_loses_nor_duplicates_the_job(
    cluster: Cluster, kill: object, is_answer: bool
) -> None:
    finish = cluster.links["worker"].catch(FINISH, is_answer=is_answer)
    job_id = post(cluster)
    finish.wait()

    assert callable(kill)
    kill(cluster)
    finish.release()

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id)[-1] == "succeeded"


@slow_on_both
@pytest.mark.parametrize("step", [1, 7, 30])
def test_if_the_training_process_is_killed_its_records_are_uploaded_and_the_job_is_retried(
    cluster: Cluster, step: int
) -> None:
    job_id = post(cluster)
    cluster.wait_for_step(job_id, step)

    kill_child(cluster)

    assert cluster.verdict().is_clean, cluster.describe()
    first = cluster.attempts(job_id)[0]
    assert first["status"] == "failed"
    assert first["error"]["code"] == "child_killed"
    assert "signal 9" in first["error"]["detail"]


@slow_on_both
@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_stopped_by_sigterm_returns_its_job_without_counting_a_failure(
    cluster: Cluster, times: int
) -> None:
    job_id = post(cluster, 200)
    cluster.wait_for_step(job_id, 12)

    for _ in range(times):
        os.kill(cluster.parts["worker"].pid, signal.SIGTERM)
    wait_for(lambda: not cluster.parts["worker"].is_running, 30, cluster.logs)
    cluster.start_worker()

    assert cluster.verdict(180).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["interrupted", "succeeded"]


@slow_on_both
def test_a_suspended_worker_that_resumes_after_the_takeover_cannot_finish_its_attempt(
    cluster: Cluster,
) -> None:
    finish = cluster.links["worker"].catch(FINISH, is_answer=False)
    job_id = post(cluster)
    finish.wait()

    with cluster.cut_off("worker"):
        cluster.suspend("worker")
        cluster.start_worker("second")
        cluster.wait_for_job(job_id, lambda job: job["attempt"] == 2)
        finish.release()  # the request reaches the server only now
        cluster.resume("worker")

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["lost", "succeeded"]
