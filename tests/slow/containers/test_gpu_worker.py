"""The GPU worker in its container, on a host with four cards that a stub of NVML simulates. Needs a container engine, but no GPU:

STEPLINE_TEST_COMPOSE='docker compose' ./script/test --slow tests/slow/containers
"""

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import spec_of_job, tiny_rows
from tests.nvml import build_stub, uuid_of
from tests.slow.containers.project import Host, Project

pytestmark = pytest.mark.slow

GPUS = tuple(uuid_of(number) for number in range(4))
FIND_CARDS = """
import json, os
found = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        environment = open(f"/proc/{pid}/environ").read().split("\\0")
    except OSError:
        continue
    found[pid] = [line.partition("=")[2] for line in environment if line.startswith("CUDA_VISIBLE_DEVICES=")]
print(json.dumps(found))
"""
CHECKPOINT_STEPS = 20
HEALTH_CHECK = ("python", "-m", "worker.supervisor.alive")
"""The health check of docker-compose.yml."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Host:
    directory = tmp_path_factory.mktemp("host")
    stub = build_stub(directory / "stub")
    shutil.copy(Path(__file__).with_name("no_cuda.py"), stub / "sitecustomize.py")
    models = directory / "models"
    shutil.copytree(tiny_model, models / "tiny-qwen2")
    for path in (stub, models, *stub.rglob("*"), *models.rglob("*")):
        path.chmod(0o755)  # the user of the containers must be able to read them
    return Host(stub, models, GPUS, f"stepline-test-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def project(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project whose images are built and whose server runs, without a worker."""
    with Project(host, "first", tmp_path_factory.mktemp("first")) as started:
        started.compose("build", "api", "worker")
        started.start_server()
        yield started


@pytest.fixture
def first(project: Project) -> Iterator[Project]:
    """Yield the project; stop its worker after the test."""
    yield project
    project.compose("stop", "worker")


def test_four_cards_get_four_workers_and_the_container_is_unhealthy_if_the_cards_fail_their_check(
    first: Project,
) -> None:
    first.start_worker(has_cuda=False)
    workers = first.wait_for_cards(*GPUS)
    first.wait_until("healthy", "worker")
    assert first.in_worker(*HEALTH_CHECK).returncode == 0
    own_id = first.in_worker("cat", "/work/host_id").stdout.strip()
    assert names_of(workers) == {f"{uuid}-{own_id}" for uuid in GPUS}
    visible = json.loads(first.in_worker("python", "-c", FIND_CARDS).stdout)
    assert [visible[str(workers[uuid]["pid"])] for uuid in GPUS] == [[uuid] for uuid in GPUS]

    job_id = post_job(first)
    first.wait_until("unhealthy", "worker")
    check = first.in_worker(*HEALTH_CHECK)
    assert check.returncode == 1
    assert "the device of worker GPU-" in check.stdout + check.stderr
    assert first.get(f"/v1/jobs/{job_id}")["status"] == "queued"
    assert first.get(f"/v1/jobs/{job_id}/attempts")["data"] == []

    first.start_worker()
    assert names_of(first.wait_for_cards(*GPUS)) == names_of(workers)
    first.wait_for_job(job_id, lambda job: job["status"] == "running")
    first.post(f"/v1/jobs/{job_id}/cancel")


def test_a_new_container_has_the_same_workers_and_a_job_of_the_killed_one_resumes_at_once(
    first: Project,
) -> None:
    first.start_worker()
    names = names_of(first.wait_for_cards(*GPUS))
    job_id = post_job(first)
    first.wait_for_job(job_id, lambda job: job["progress"]["step"] > 3 * CHECKPOINT_STEPS)

    first.compose("kill", "worker")
    first.start_worker()

    assert names_of(first.wait_for_cards(*GPUS)) == names
    first.wait_for_job(job_id, lambda job: job["attempt"] == 2 and job["phase"] == "training")
    attempts = first.get(f"/v1/jobs/{job_id}/attempts")["data"]
    lost, running = sorted(attempts, key=lambda attempt: int(attempt["number"]))
    assert lost["status"] == "lost"
    assert running["resumed_step"] >= CHECKPOINT_STEPS
    # The worker of that name reported that the attempt had ended, so the job did not wait for the takeover time.
    codes = {event["code"] for event in first.get(f"/v1/jobs/{job_id}/events")["data"]}
    assert codes >= {"attempt_abandoned", "resuming_local"}
    first.post(f"/v1/jobs/{job_id}/cancel")


def test_surplus_containers_of_two_projects_wait_and_are_healthy_until_cards_are_free(
    first: Project, host: Host, tmp_path: Path
) -> None:
    selected, others = {GPUS[0], GPUS[2]}, {GPUS[1], GPUS[3]}
    setting = f"0,{GPUS[2][:8]}"
    first.start_worker(STEPLINE_GPUS=setting)
    first.wait_for_cards(*selected)
    with Project(host, "second", tmp_path) as second:
        second.start_server()
        second.start_worker()
        second.wait_for_cards(*others)
        assert set(first.workers()) == selected

        first.compose("stop", "worker")
        second.wait_for_cards(*GPUS)

        first.start_worker(STEPLINE_GPUS=setting)
        second.add_replica()
        for project, number in ((first, 1), (second, 2)):
            project.wait_until("healthy", "worker", number)
            assert project.in_worker(*HEALTH_CHECK, number=number).returncode == 0
            assert project.workers(number) == {}

    first.wait_for_cards(*selected)  # of the second project, nothing is left


def names_of(workers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {each["id"] for each in workers.values()}


def post_job(project: Project) -> str:
    """Submit an endless job with frequent checkpoints, which stay in the work volume; return its id."""
    dataset = project.post("/v1/datasets", files={"file": ("rows.jsonl", tiny_rows(40).encode())})
    checkpoint = {"every_steps": CHECKPOINT_STEPS, "upload": "never"}
    spec = spec_of_job(dataset["id"], 1_000_000) | {"checkpoint": checkpoint}
    return str(project.post("/v1/jobs", json=spec)["id"])
