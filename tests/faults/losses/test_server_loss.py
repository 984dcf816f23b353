"""The API is killed or restarted while jobs run and new jobs arrive."""

import contextlib
import signal
import threading

import httpx2
import pytest

from tests.e2e.conftest import make_job
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_sqlite_first, slow_on_both
from tests.faults.losses.test_worker_loss import post, statuses


@on_sqlite_first
def test_killing_the_server_three_times_during_training_loses_no_record(cluster: Cluster) -> None:
    job_id = post(cluster, 60)
    for step in (1, 15, 30):
        cluster.wait_for_step(job_id, step)
        training = cluster.find_training()
        cluster.restart_api(signal.SIGKILL)
        assert cluster.find_training() in {training, None}

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@slow_on_both
@pytest.mark.parametrize("call", [b"/claim", b"/artifacts/", b"/finish"])
@pytest.mark.parametrize("is_answer", [False, True], ids=["before", "after"])
def test_killing_the_server_during_a_call_neither_loses_nor_duplicates_anything(
    cluster: Cluster, call: bytes, is_answer: bool
) -> None:
    caught = cluster.links["worker"].catch(call, is_answer=is_answer)
    job_id = post(cluster, 20)
    caught.wait()

    cluster.restart_api(signal.SIGKILL)
    caught.release()

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id)[-1] == "succeeded"


@slow_on_both
def test_acknowledged_submissions_survive_when_the_server_is_killed(
    cluster: Cluster,
) -> None:
    spec = make_job(cluster, steps=1) | {"queue": "unserved"}
    acknowledged: list[str] = []

    def submit() -> None:
        client = httpx2.Client(base_url=cluster.url, trust_env=False)
        with contextlib.suppress(httpx2.TransportError), client:
            while True:
                acknowledged.append(client.post("/v1/jobs", json=spec).json()["id"])

    for _ in range(3):
        before = len(acknowledged)
        threads = [threading.Thread(target=submit) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < before + 30:
            threads[0].join(0.02)
        cluster.restart_api(signal.SIGKILL)
        for thread in threads:
            thread.join()

    for job_id in acknowledged:
        assert cluster.job(job_id)["status"] == "queued"
        cluster.client.post(f"/v1/jobs/{job_id}/cancel")
