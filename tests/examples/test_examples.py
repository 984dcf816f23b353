"""The jobs, datasets and clients under examples/ work."""

import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.dataset.rows import parse_row, read_jsonl
from contracts.job import JobSpec
from examples.client import ApiError, Client, rows_of
from tests.e2e.service import Service
from tests.tiny_model import make_rows, make_tiny_qwen2, write_rows

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("job", ["first_job.json", "demo/job.json"])
def test_every_example_job_is_a_valid_spec(job: str) -> None:
    JobSpec.model_validate_json((EXAMPLES / job).read_text(encoding="utf-8"))


@pytest.mark.parametrize("dataset", ["alpaca.json", "prompt_completion.jsonl", "messages.jsonl"])
def test_every_row_of_the_example_datasets_is_a_valid_conversation(dataset: str) -> None:
    text = (EXAMPLES / dataset).read_bytes()
    rows = json.loads(text) if dataset.endswith(".json") else _values(text)

    conversations = [parse_row(row, line) for line, row in enumerate(rows, start=1)]

    assert len(conversations) >= 3


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Every file counts as large, so that the clients have to wait until its rows are checked.
    with Service(tmp_path_factory.mktemp("service"), STEPLINE_BACKGROUND_BYTES="1") as running:
        make_tiny_qwen2(running.models / "tiny-qwen2")
        yield running


@pytest.mark.parametrize("client", ["client.py", "client.sh"])
def test_the_client_uploads_rows_and_downloads_the_trained_adapter(
    service: Service, client: str, tmp_path: Path
) -> None:
    program = [str(EXAMPLES / client)] if client.endswith(".sh") else [sys.executable, "-I"]
    program += [] if client.endswith(".sh") else [str(EXAMPLES / client)]
    files = [write_rows(tmp_path / "rows.jsonl", make_rows(24)), _small_job(tmp_path / "job.json")]

    done = subprocess.run(
        [*program, service.url, *map(str, files), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr + service.logs()
    assert "╚" in done.stdout
    with zipfile.ZipFile(tmp_path / "out" / "adapter.zip") as adapter:
        assert "adapter_config.json" in adapter.namelist()


def test_both_clients_receive_the_same_history_by_polling_and_by_streaming(
    service: Service, tmp_path: Path
) -> None:
    client = Client(service.url)
    rows = write_rows(tmp_path / "rows.jsonl", make_rows(24))
    settings = _small_job(tmp_path / "job.json").read_text()
    example = [sys.executable, str(EXAMPLES / "python_client.py"), service.url, "tiny-qwen2"]
    with subprocess.Popen(
        [*example, str(rows), str(tmp_path / "out"), settings],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        job = running.stdout.readline().split()[0]
        *_, (page, polled) = client.metrics(job, seconds=0.1)
        output = running.stdout.read()
    received = list(client.listen(job))

    assert running.returncode == 0, output + service.logs()
    assert "loss" in output
    assert "╚" in output
    with zipfile.ZipFile(tmp_path / "out" / "adapter.zip") as adapter:
        assert "adapter_config.json" in adapter.namelist()
    assert page["status"] == "succeeded"
    assert polled["loss"]
    streamed: dict[int, Any] = {}
    for event, data in received:
        if event == "metrics":
            columns = data["series"].get("loss", {"step": [], "value": []})
            streamed |= dict(zip(columns["step"], columns["value"], strict=True))
    assert streamed == polled["loss"]
    assert received[-1] == ("done", {"status": "succeeded"})


def test_the_client_shows_the_row_progress_of_a_phase_without_steps() -> None:
    rows = {"done": 340, "total": 2000, "seconds_left": 363.2}
    job: dict[str, Any] = {"phase": "evaluating", "progress": {"step": 0, "rows": rows}}

    assert rows_of(job) == "evaluating: 340 of 2000 rows, 363 s left"
    assert rows_of({"phase": "training", "progress": {"step": 3, "rows": None}}) is None
    assert rows_of({"phase": "training", "progress": {"step": 3}}) is None, (
        "an older server does not send rows"
    )


def test_the_polling_example_page_is_served(service: Service) -> None:
    with urllib.request.urlopen(f"{service.url}/examples/poll.html") as answer:  # noqa: S310  # our own address
        page = answer.read()

    assert answer.headers.get_content_type() == "text/html"
    assert page == (EXAMPLES / "poll.html").read_bytes()
    text = page.decode()
    assert "http://" not in text.replace("http://host:port", "")
    assert "https://" not in text


def test_the_client_reports_why_a_large_file_was_rejected_after_its_upload(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"instruction": "question", "output": 7}')

    with pytest.raises(ValueError, match="row 1, line 1: output is a number"):
        Client(service.url).upload(file, seconds=0.1)


def test_the_client_reports_why_the_service_rejected_a_job(service: Service) -> None:
    spec = {"model": "tiny-qwen2", "dataset": {"train": "ds_00000000"}}

    with pytest.raises(ApiError, match="ds_00000000") as rejected:
        Client(service.url).submit(spec)

    assert rejected.value.status == 400


def _values(text: bytes) -> list[Any]:
    return [value for _, value in read_jsonl(text.splitlines())]


def _small_job(path: Path) -> Path:
    spec = {
        "model": "tiny-qwen2",
        "dataset": {"train": "ds_00000000", "eval_size": 8},
        "lora": {"rank": 8, "alpha": 16},
        "training": {"max_length": 128},
    }
    path.write_text(json.dumps(spec, indent=2))
    return path
