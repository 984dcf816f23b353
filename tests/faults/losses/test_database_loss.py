"""PostgreSQL crashes, restarts or hangs: callers get a clear error, and nothing is partially written."""

import signal

from tests.e2e.conftest import make_job
from tests.e2e.service import wait_for
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_postgresql, slow_on_postgresql
from tests.faults.losses.test_worker_loss import post, statuses


@on_postgresql
def test_requests_get_503_while_the_database_is_down_and_no_record_is_lost(
    cluster: Cluster,
) -> None:
    assert cluster.postgres is not None
    job_id = post(cluster, 60)
    cluster.wait_for_step(job_id, 5)
    spec = make_job(cluster, steps=1)

    cluster.postgres.stop(signal.SIGQUIT)
    rejected = cluster.client.post("/v1/jobs", json=spec)
    not_ready = cluster.client.get("/readyz")
    cluster.postgres.start()

    assert rejected.status_code == 503, rejected.text
    assert rejected.json()["error"]["code"] == "database_unavailable"
    assert int(rejected.headers["retry-after"]) > 0
    assert not_ready.status_code == 503
    wait_for(lambda: cluster.client.get("/readyz").status_code == 200, 20, cluster.logs)
    assert cluster.verdict().is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@slow_on_postgresql
def test_repeated_database_crashes_lose_no_record(cluster: Cluster) -> None:
    assert cluster.postgres is not None
    job_id = post(cluster, 200)
    for step in (2, 20, 40, 60, 80):
        cluster.wait_for_step(job_id, step)
        cluster.postgres.stop(signal.SIGQUIT)
        cluster.postgres.start()
        wait_for(lambda: cluster.client.get("/readyz").status_code == 200, 20, cluster.logs)

    assert cluster.verdict(120).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]


@slow_on_postgresql
def test_requests_get_503_while_the_database_is_unreachable_and_no_record_is_lost(
    cluster: Cluster,
) -> None:
    assert cluster.database_link is not None
    job_id = post(cluster, 100)
    cluster.wait_for_step(job_id, 5)

    for mode in ("refuse", "reset", "blackhole"):
        cluster.database_link.set(mode)
        answer = cluster.client.get(f"/v1/jobs/{job_id}", timeout=60)
        assert answer.status_code == 503, (mode, answer.text)
        cluster.database_link.set("pass")
        wait_for(lambda: cluster.client.get("/readyz").status_code == 200, 20, cluster.logs)

    assert cluster.verdict(120).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]
