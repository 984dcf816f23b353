"""A job that trains on two ranks of one host: whichever rank is killed, suspended or stopped, the job ends exactly once."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import make_job
from tests.e2e.service import wait_for
from tests.faults.harness.cluster import Cluster, is_alive
from tests.faults.harness.databases import slow_on_both
from tests.programs.processes import children_of

STEPS = 60


def start_ranks(cluster: Cluster, hang_seconds: int = 120) -> None:
    """Start a worker that offers two ranks on the CPU."""
    cluster.start_worker("ranks", STEPLINE_CPU_RANKS="2", STEPLINE_HANG_SECONDS=str(hang_seconds))


def post(cluster: Cluster, steps: int = STEPS) -> str:
    spec = make_job(cluster, steps=steps, checkpoint={"every_steps": 5}, resources={"gpus": 2})
    return cluster.post_job(**spec)


def find_ranks(cluster: Cluster) -> tuple[int, int]:
    """Return the process ids of rank 0 and rank 1."""
    rank_0 = cluster.find_training("ranks")
    assert rank_0 is not None
    (rank_1,) = [
        pid for pid in children_of(rank_0) if b"--rank" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return rank_0, rank_1


def statuses(cluster: Cluster, job_id: str) -> list[str]:
    return [attempt["status"] for attempt in cluster.attempts(job_id)]


@slow_on_both
def test_a_killed_rank_ends_the_attempt_with_its_number_and_the_job_resumes(
    cluster: Cluster,
) -> None:
    start_ranks(cluster)
    job_id = post(cluster)
    cluster.wait_for_step(job_id, 7)

    os.kill(find_ranks(cluster)[1], signal.SIGKILL)

    assert cluster.verdict(180).is_clean, cluster.describe()
    first, second = cluster.attempts(job_id)
    assert (first["status"], second["status"]) == ("failed", "succeeded")
    assert first["error"]["code"] == "child_killed"
    assert first["error"]["detail"].startswith("Rank 1: ")
    assert (first["gpus"], second["gpus"], second["worker"]) == (2, 2, "ranks")


@slow_on_both
@pytest.mark.parametrize("rank", [0, 1])
def test_a_suspended_rank_ends_the_attempt_as_hung_and_the_job_resumes(
    cluster: Cluster, rank: int
) -> None:
    start_ranks(cluster, hang_seconds=15)  # a loaded machine needs seconds to load the model
    job_id = post(cluster)
    cluster.wait_for_step(job_id, 7)

    os.kill(find_ranks(cluster)[rank], signal.SIGSTOP)

    # After 15 s, rank 0 reports rank 1; after 76.5 s, the worker reports rank 0.
    assert cluster.verdict(240).is_clean, cluster.describe()
    first = cluster.attempts(job_id)[0]
    assert first["error"]["code"] == "no_progress"
    assert ("on rank 1", "Rank 0: ")[rank == 0] in first["error"]["detail"]
    assert statuses(cluster, job_id) == ["failed", "succeeded"]


@slow_on_both
@pytest.mark.parametrize("killed", ["rank 0", "worker", "pool process"])
def test_all_ranks_die_with_rank_0_and_with_their_worker(cluster: Cluster, killed: str) -> None:
    start_ranks(cluster)
    job_id = post(cluster)
    cluster.wait_for_step(job_id, 7)
    ranks = find_ranks(cluster)
    victims = {
        "rank 0": ranks[0],
        "worker": cluster.parts["ranks"].pid,
        "pool process": cluster.pool_process("ranks"),
    }

    os.kill(victims[killed], signal.SIGKILL)

    wait_for(lambda: not any(is_alive(pid) for pid in ranks), 30, cluster.logs)
    if killed == "worker":
        cluster.parts["ranks"].stop(lambda: True)
        start_ranks(cluster)
    assert cluster.verdict(180).is_clean, cluster.describe()
    assert statuses(cluster, job_id)[-1] == "succeeded"
    assert len(statuses(cluster, job_id)) == 2


@slow_on_both
def test_a_cancelled_job_ends_on_all_ranks(cluster: Cluster) -> None:
    start_ranks(cluster)
    job_id = post(cluster, 10_000)
    cluster.wait_for_step(job_id, 7)
    ranks = find_ranks(cluster)

    cluster.cancel(job_id)

    assert not any(is_alive(pid) for pid in ranks)
    assert cluster.verdict(180).is_clean, cluster.describe()


@slow_on_both
def test_a_job_paused_on_two_ranks_resumes_on_two_ranks(cluster: Cluster) -> None:
    start_ranks(cluster)
    job_id = post(cluster, 200)
    cluster.wait_for_step(job_id, 7)
    ranks = find_ranks(cluster)

    cluster.client.post(f"/v1/jobs/{job_id}/pause")
    wait_for(lambda: cluster.job(job_id)["status"] == "paused", 60, cluster.logs)
    assert not any(is_alive(pid) for pid in ranks)
    cluster.client.post(f"/v1/jobs/{job_id}/resume")

    assert cluster.verdict(180).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["paused", "succeeded"]


@slow_on_both
def test_a_worker_stopped_by_sigterm_returns_the_job_of_all_its_ranks(cluster: Cluster) -> None:
    start_ranks(cluster)
    job_id = post(cluster, 200)
    cluster.wait_for_step(job_id, 7)
    ranks = find_ranks(cluster)

    os.kill(cluster.parts["ranks"].pid, signal.SIGTERM)
    wait_for(lambda: not cluster.parts["ranks"].is_running, 30, cluster.logs)
    assert not any(is_alive(pid) for pid in ranks)
    start_ranks(cluster)

    assert cluster.verdict(180).is_clean, cluster.describe()
    assert statuses(cluster, job_id) == ["interrupted", "succeeded"]
