"""The server does the work but its response never arrives, or a request arrives much too late."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from contracts.protocol.wire import CLAIM_PATH
from tests.e2e.conftest import make_job
from tests.e2e.service import wait_for
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_postgresql_first, on_sqlite_first, slow_on_both
from tests.faults.harness.proxy import FaultProxy
from tests.faults.losses.test_worker_loss import post, statuses


@on_postgresql_first
def test_lost_responses_to_syncs_uploads_and_the_finish_change_nothing(cluster: Cluster) -> None:
    link = cluster.links["worker"]
    before = link.dropped_replies
    for pattern, times in ((b"/sync", 3), (b"/datasets/", 1), (b"/artifacts/", 2), (b"/finish", 2)):
        link.drop_replies(pattern, times)

    job_id = post(cluster, 30)

    wait_for(lambda: link.dropped_replies - before == 8, 90, cluster.logs)
    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@slow_on_both
def test_a_lost_response_to_a_claim_loses_no_job(cluster: Cluster) -> None:
    link = cluster.links["worker"]
    before = link.dropped_replies
    link.drop_replies(CLAIM_PATH.encode())

    job_id = post(cluster, 30)

    assert cluster.verdict().is_clean, cluster.describe()
    assert link.dropped_replies == before + 1
    assert statuses(cluster, job_id)[-1] == "succeeded"


@on_sqlite_first
def test_a_submission_repeated_with_its_idempotency_key_creates_one_job(
    cluster: Cluster,
) -> None:
    spec = make_job(cluster, steps=1) | {"queue": "unserved"}
    key = {"Idempotency-Key": f"key-{len(cluster.acknowledged)}"}
    with (
        FaultProxy(("127.0.0.1", cluster.port)) as link,
        httpx2.Client(base_url=f"http://127.0.0.1:{link.port}", trust_env=False) as client,
    ):
        link.drop_replies(b"POST /v1/jobs")
        with pytest.raises(httpx2.TransportError):
            client.post("/v1/jobs", json=spec, headers=key)
        first = client.post("/v1/jobs", json=spec, headers=key).json()["id"]
        again = client.post("/v1/jobs", json=spec, headers=key).json()["id"]

    assert first == again
    assert [job["id"] for job in cluster.get("/v1/jobs", status="queued")["data"]] == [first]


@slow_on_both
def test_fifty_forged_rings_start_one_attempt(cluster: Cluster) -> None:
    cluster.start_worker("second")
    job_id = post(cluster, 30)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cluster.ring(), range(50)))

    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@slow_on_both
@pytest.mark.parametrize("mode", ["cut:40", "cut:400", "delay:0.2"])
def test_a_connection_that_is_cut_or_delayed_loses_nothing(cluster: Cluster, mode: str) -> None:
    link = cluster.links["worker"]
    job_id = post(cluster, 100)
    cluster.wait_for_step(job_id, 5)

    link.set(mode)
    restore = threading.Timer(4, link.set, ["pass"])
    restore.start()
    restore.join()

    assert cluster.verdict(120).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]
