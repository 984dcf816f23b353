"""Other versions of OpenAI's Python client, its console script, and its client for Node, against the same service."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import tiny_rows
from tests.e2e.service import Service
from tests.openai.environments import FOR_NODE, node, node_modules_with, python_with

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYDANTIC = "pydantic==2.14.4"
OLD = ("openai==1.3.0", "httpx==0.27.2", PYDANTIC)
"""The first version whose errors have a code. It does not work with a newer httpx."""
LAST_1 = ("openai==1.109.1", "httpx==0.28.1", PYDANTIC)
LAST_2 = ("openai==2.54.0", "httpx==0.28.1", PYDANTIC)
LAST_WITH_SCRIPT = ("openai==2.30.0", "httpx==0.28.1", PYDANTIC)
ENDPOINTS = {"webhook_endpoints_are_created_and_changed_and_listed_and_deleted"}
"""Only version 3 of the client manages endpoints."""
NOT_IN_OLD = ENDPOINTS | {
    "checkpoints_are_listed_to_the_end_newest_first",
    "a_queued_job_is_paused_and_resumed_and_cancelled",
    "a_running_job_is_paused_and_resumed_and_cancelled",
    "the_adapter_is_downloaded_as_a_stream",
    "a_small_file_is_uploaded_in_parts",
    "a_cancelled_upload_cannot_be_completed",
    "a_file_of_more_than_64_mib_is_uploaded_in_parts_and_used",
    "the_webhook_of_the_finished_job_is_verified",
}


@pytest.fixture(scope="package")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    path.write_text(tiny_rows(40))
    return path


def run(command: list[str], **environment: str) -> str:
    """Run a client; return its output."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("requirements", "absent"),
    [(OLD, NOT_IN_OLD), (LAST_1, ENDPOINTS), (LAST_2, ENDPOINTS)],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_older_python_clients_pass_the_checks_for_which_they_have_methods(
    service: Service, rows: Path, requirements: tuple[str, ...], absent: set[str]
) -> None:
    python = str(python_with(*requirements) / "python")

    report = json.loads(run([python, "-m", "tests.openai.checks", service.url, str(rows)]))

    results = report["results"]
    failed = {name: each for name, each in results.items() if each not in {None, "absent"}}
    assert failed == {}, "\n\n".join(failed.values())
    assert f"openai=={report['version']}" == requirements[0]
    assert {name for name, each in results.items() if each == "absent"} == absent


@pytest.mark.parametrize("requirements", [LAST_1, LAST_WITH_SCRIPT], ids=lambda value: value[0])
def test_the_console_script_of_older_clients_creates_and_follows_and_cancels_jobs(
    service: Service, rows: Path, requirements: tuple[str, ...]
) -> None:
    script = str(python_with(*requirements) / "openai")

    def output(*arguments: str) -> str:
        address = {"OPENAI_BASE_URL": f"{service.url}/v1", "OPENAI_API_KEY": "any-key"}
        return run([script, "api", *arguments], **address)

    def call(*arguments: str) -> Any:
        return json.loads(output(*arguments))

    file = call("files.create", "-f", str(rows), "-p", "fine-tune")
    hyperparameters = json.dumps({"n_epochs": 1, "batch_size": 16})
    options = ["-m", "tiny-qwen2", "-F", file["id"], "-H", hyperparameters, "-s", "script"]
    job = call("fine_tuning.jobs.create", *options)
    service.wait_for_end(job["id"].replace("ftjob-", "job_"))
    done = call("fine_tuning.jobs.retrieve", "-i", job["id"])
    listed = call("fine_tuning.jobs.list", "-l", "1")
    events = call("fine_tuning.jobs.list_events", "-i", job["id"], "-l", "50")
    other = call("fine_tuning.jobs.create", *options)
    cancelled = call("fine_tuning.jobs.cancel", "-i", other["id"])
    service.wait_for_end(other["id"].replace("ftjob-", "job_"))

    assert (done["id"], done["status"]) == (job["id"], "succeeded")
    assert [each["id"] for each in listed["data"]] == [job["id"]]
    assert events["data"][0]["message"] == "The job has successfully completed"
    assert cancelled["id"] == other["id"]
    assert call("fine_tuning.jobs.retrieve", "-i", other["id"])["status"] == "cancelled"
    assert file["id"] in output("files.list"), "it prints one JSON object after another"
    assert "tiny-qwen2" in output("models.list")


@pytest.mark.parametrize("package", [FOR_NODE, "openai@4.104.0"])
def test_the_client_for_node_passes_its_checks(
    service: Service, rows: Path, tmp_path: Path, package: str
) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules_with(package))
    script = tmp_path / "checks.mjs"
    script.write_bytes((Path(__file__).parent / "checks.mjs").read_bytes())

    output = run(
        [str(node() / "node"), "--test", "--test-reporter=tap", str(script)],
        URL=service.url,
        ROWS=str(rows),
    )

    assert "# fail 0" in output
    assert "# pass 7" in output
