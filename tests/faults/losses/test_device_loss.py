"""A GPU breaks while its worker trains: no job fails, and other workers run the worker's jobs."""

from pathlib import Path
from typing import Any

from tests.e2e.conftest import make_job
from tests.e2e.service import wait_for
from tests.faults.harness.breakable_gpu import ERROR
from tests.faults.harness.cluster import Cluster
from tests.faults.harness.databases import on_sqlite_first, slow_on_both
from worker.supervisor.host.device_check import read_check
from worker.supervisor.host.identity import worker_home


def start_gpu_worker(cluster: Cluster, broken: Path) -> None:
    """Start a worker whose GPU is broken while the file exists."""
    normal_program = cluster.worker_program
    cluster.worker_program = ("-m", "tests.faults.harness.breakable_gpu", str(broken))
    try:
        cluster.start_worker(
            "gpu",
            STEPLINE_DEVICE="cuda",
            STEPLINE_DEVICE_CHECK_SECONDS="1",
            STEPLINE_LOCK_DIR=str(cluster.directory / "gpu-locks"),
            CUDA_VISIBLE_DEVICES="0",
        )
    finally:
        cluster.worker_program = normal_program


def device_check(cluster: Cluster) -> Any:
    [check] = [w["device_check"] for w in cluster.get("/v1/workers")["data"] if w["id"] == "gpu"]
    return check


def attempts(cluster: Cluster, job_id: str) -> list[tuple[str, str]]:
    return [(each["status"], each["worker"]) for each in cluster.attempts(job_id)]


@slow_on_both
def test_no_job_fails_when_a_gpu_breaks_and_another_worker_runs_the_queued_jobs(
    cluster: Cluster, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    cluster.stop("worker")
    start_gpu_worker(cluster, broken)
    first = cluster.post_job(**make_job(cluster, steps=60, checkpoint={"every_steps": 5}))
    others = [cluster.post_job(**make_job(cluster, steps=1)) for _ in range(3)]
    cluster.wait_for_step(first, 7)

    finish = cluster.links["gpu"].catch(b"/finish")
    broken.touch()
    finish.wait()
    stored = read_check(worker_home(cluster.directory / "work", "gpu"))
    assert stored is not None
    assert not stored.passed, "the failure must be stored before the finish reaches the server"
    finish.release()
    wait_for(lambda: attempts(cluster, first) == [("failed", "gpu")], 60, cluster.logs)
    wait_for(lambda: not device_check(cluster)["passed"], 60, cluster.logs)
    wait_for(lambda: ERROR in device_check(cluster)["reason"], 60, cluster.logs)
    for job_id in (first, *others):
        assert cluster.job(job_id)["status"] == "queued", (
            "a worker with a broken GPU does not claim a job"
        )

    cluster.start_worker()
    assert cluster.verdict(180).is_clean, cluster.describe()
    assert attempts(cluster, first) == [("failed", "gpu"), ("succeeded", "worker")]
    for job_id in others:
        assert attempts(cluster, job_id) == [("succeeded", "worker")]


@on_sqlite_first
def test_a_worker_detects_without_a_ring_that_its_gpu_works_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    cluster.stop("worker")
    start_gpu_worker(cluster, broken)
    cluster.ring()  # for the first check
    wait_for(lambda: device_check(cluster) is not None, 60, cluster.logs)
    assert not device_check(cluster)["passed"]

    broken.unlink()  # no ring is sent

    wait_for(lambda: device_check(cluster)["passed"], 60, cluster.logs)
