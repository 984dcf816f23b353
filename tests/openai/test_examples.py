"""The examples for users of OpenAI's clients, run as users run them."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import OpenAI

from tests.e2e.service import Service
from tests.openai.checks.case import JOB, Case
from tests.openai.checks.jobs import delete_model
from tests.openai.conftest import JOB_KEY
from tests.openai.environments import FOR_NODE, node, node_modules_with
from tests.tiny_model import make_rows, write_rows

EXAMPLES = Path(__file__).parents[2] / "examples" / "openai"


def run(service: Service, command: Sequence[str | Path], **environment: str) -> str:
    """Run an example; return its output."""
    address = {"OPENAI_BASE_URL": f"{service.url}/v1", "OPENAI_API_KEY": "any"}
    done = subprocess.run(
        list(map(str, command)),
        env=os.environ | address | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + service.logs()
    return done.stdout


def check_results(out_dir: Path) -> None:
    assert (out_dir / "results.csv").read_text().startswith("step,train_loss,")
    with zipfile.ZipFile(out_dir / "adapter.zip") as adapter:
        assert "adapter_model.safetensors" in adapter.namelist()


def chat_rows(path: Path) -> Path:
    """Write rows in OpenAI's format; return the path."""
    rows: list[Any] = [
        {
            "messages": [
                {"role": "user", "content": f"{row['instruction']} {row['input']}"},
                {"role": "assistant", "content": row["output"]},
            ]
        }
        for row in make_rows(16)
    ]
    return write_rows(path, rows)


def test_the_model_of_the_python_example_is_downloaded_and_deleted(
    service: Service, client: OpenAI, tmp_path: Path
) -> None:
    rows = chat_rows(tmp_path / "rows.jsonl")
    script = EXAMPLES / "fine_tune.py"

    output = run(service, [sys.executable, "-I", script, "tiny-qwen2", rows, tmp_path / "out"])

    assert "The job has successfully completed" in output
    check_results(tmp_path / "out")
    delete_model(client, output.splitlines()[-1].split()[0])


def test_the_curl_example_follows_a_job_and_downloads_the_adapter(
    service: Service, case: Case, tmp_path: Path
) -> None:
    # With the key of the job that the checks use, the server returns that job, so no second training is needed.
    rows, job = tmp_path / "rows.jsonl", tmp_path / "job.json"
    rows.write_bytes(case.rows)
    job.write_text(json.dumps(JOB | {"training_file": "file-0"}))
    command = [EXAMPLES / "fine_tune.sh", rows, job, tmp_path / "out"]

    output = run(service, command, IDEMPOTENCY_KEY=JOB_KEY)

    assert case.job.id in output
    assert case.done.fine_tuned_model in output
    check_results(tmp_path / "out")


def test_the_example_job_is_a_valid_request_of_the_client(case: Case) -> None:
    body = json.loads((EXAMPLES / "job.json").read_text())

    job = case.client.fine_tuning.jobs.create(
        training_file=case.job.training_file,
        model=body["model"],
        suffix=body["suffix"],
        method=body["method"],
        extra_body={"stepline": body["stepline"] | {"queue": "without-worker"}},
    )

    assert case.client.fine_tuning.jobs.cancel(job.id).status == "cancelled"


@pytest.mark.slow
def test_the_node_example_fine_tunes_and_downloads_the_adapter(
    service: Service, tmp_path: Path
) -> None:
    rows = chat_rows(tmp_path / "rows.jsonl")
    (tmp_path / "node_modules").symlink_to(node_modules_with(FOR_NODE))
    script = tmp_path / "fine_tune.mjs"
    script.write_bytes((EXAMPLES / "fine_tune.mjs").read_bytes())

    output = run(service, [node() / "node", script, "tiny-qwen2", rows, tmp_path / "out"])

    assert "The job has successfully completed" in output
    check_results(tmp_path / "out")


def test_the_documented_commands_for_compose_create_and_list_an_endpoint(service: Service) -> None:
    text = (EXAMPLES.parents[1] / "docs" / "webhooks.md").read_text()
    [block] = [part for part in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "docker" in part]
    in_place = 'docker() { shift 4; "$@"; }\n'  # runs the command here instead of in the container
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    port = str(urlsplit(service.url).port)

    output = run(service, ["bash", "-c", in_place + block], PATH=path, STEPLINE_PORT=port)

    created, listed = (json.loads(line) for line in output.splitlines())
    assert created["signing_secret"].startswith("whsec_")
    assert created["id"] in {each["id"] for each in listed["data"]}
    delete = f"stepline_api DELETE /v1/webhook_endpoints/{created['id']}"
    define = block.partition("\n}\n")[0] + "\n}\n"
    run(service, ["bash", "-c", in_place + define + delete], PATH=path, STEPLINE_PORT=port)
