"""Wall clocks that are an hour off: only the database's clock matters."""

import pytest

from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_sqlite_first
from tests.faults.losses.test_worker_loss import post, statuses

HOUR = 3600


@pytest.mark.slow
@on_sqlite_first
@pytest.mark.parametrize("seconds", [HOUR, pytest.param(-HOUR, marks=pytest.mark.slow)])
def test_a_worker_whose_clock_is_an_hour_off_works_normally(cluster: Cluster, seconds: int) -> None:
    cluster.stop("worker")
    cluster.start_skewed_worker("skewed", seconds)
    job_id = post(cluster, 20)

    assert cluster.verdict(60).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["succeeded"]
    assert cluster.attempts(job_id)[0]["worker"] == "skewed"
