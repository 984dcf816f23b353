"""A job on PostgreSQL without any fault. tests/e2e tests the same on SQLite."""

from tests.e2e.conftest import make_job
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_postgresql


@on_postgresql
def test_a_job_runs_on_postgresql_and_the_same_rows_can_be_uploaded_twice(cluster: Cluster) -> None:
    spec = make_job(cluster, steps=5)
    assert make_job(cluster, steps=5) == spec

    job_id = cluster.post_job(**spec)

    assert cluster.wait_for_end(job_id)["status"] == "succeeded", cluster.logs()
    assert [point["step"] for point in cluster.losses(job_id)] == [1, 2, 3, 4, 5]
    assert cluster.get(f"/v1/jobs/{job_id}/summary")["steps"] == 5
