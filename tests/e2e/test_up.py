"""`stepline up` while a job runs."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.up import STOP_SECONDS, Up, running_up
from tests.e2e.conftest import spec_of_job, tiny_rows


def _client(up: Up) -> httpx2.Client:
    return httpx2.Client(base_url=f"http://127.0.0.1:{up.port}", timeout=30, trust_env=False)


def _wait_for_step(client: httpx2.Client, job_id: str, attempt: int) -> Any:
    deadline = time.monotonic() + 90
    while True:
        job = client.get(f"/v1/jobs/{job_id}").json()
        if job["attempt"] == attempt and job["progress"]["step"] >= 2:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


@pytest.mark.slow
def test_a_job_that_is_running_at_ctrl_c_is_queued_again_and_resumes_at_the_next_start(
    tmp_path: Path, tiny_model: Path
) -> None:
    home = tmp_path / "data"
    shutil.copytree(tiny_model, home / "models" / "tiny-qwen2")
    with running_up(tmp_path, home=home) as up:
        up.wait_until_ready()
        with _client(up) as client:
            files = {"file": ("rows.jsonl", tiny_rows(40).encode())}
            dataset = client.post("/v1/datasets", files=files).json()["id"]
            spec = spec_of_job(dataset, steps=1_000_000)
            job_id = client.post("/v1/jobs", json=spec).json()["id"]
            _wait_for_step(client, job_id, attempt=1)

        up.process.send_signal(signal.SIGINT)

        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()

    with running_up(tmp_path, home=home) as up:
        up.wait_until_ready()
        with _client(up) as client:
            _wait_for_step(client, job_id, attempt=2)
            attempts = client.get(f"/v1/jobs/{job_id}/attempts").json()["data"]
            assert {each["number"]: each["status"] for each in attempts} == {
                1: "interrupted",
                2: "running",
            }

        up.process.kill()
        up.process.wait()
        up.wait_until_nothing_is_left()
