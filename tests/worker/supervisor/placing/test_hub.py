"""Runs the hub's real client libraries in their own process against a local hub with one model and one dataset."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from httpx2 import Response

from contracts.data_spec import HubDataset
from contracts.failure import FailureReason
from tests.hub_server import COMMIT, Hub
from tests.worker.supervisor.hub_files import MODEL_FILES, ROWS
from worker.supervisor.placing.hub import DatasetRequest, HubAnswer, HubProblem, ModelRequest, fetch
from worker.supervisor.placing.hub_client import UnsafeResponse, check_response
from worker.supervisor.placing.hub_limits import Disk
from worker.supervisor.placing.hub_process import run


def _fetch(hub: Hub, request: ModelRequest | DatasetRequest, home: Path) -> HubAnswer:
    # Other tests import the training program, which sets the offline variables in this process.
    online = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    environ = online | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    return fetch(request, environ, os.getpid(), lambda: None)


def test_a_model_is_downloaded_without_code_or_pickles_and_its_commit_is_returned(
    hub: Hub, tmp_path: Path
) -> None:
    answer = _fetch(hub, ModelRequest(name="team/tiny"), tmp_path)

    assert answer.failure is None, answer.failure
    assert answer.commit == COMMIT
    assert answer.path is not None
    files = {path.name for path in answer.path.iterdir()}
    assert files == {"config.json", "model.safetensors", "tokenizer.json"}
    assert sorted(hub.downloaded) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_download_error_does_not_contain_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    failure = run(
        ModelRequest(name="hf_secret/../x")
    ).failure  # the libraries' error repeats the name

    assert failure is not None
    assert "hf_secret" not in failure.detail.partition(":")[2]
    assert "***" in failure.detail


def test_a_hub_cannot_write_files_outside_the_cache(hub: Hub, tmp_path: Path) -> None:
    hub.etag = "../../../../../outside"

    answer = _fetch(hub, ModelRequest(name="team/tiny"), tmp_path / "1/2/3")

    assert answer.failure is not None
    assert "UnsafeResponse" in answer.failure.detail
    assert not list(tmp_path.rglob("outside*"))


def test_a_model_without_safetensors_is_rejected(tmp_path: Path) -> None:
    files = {name: body for name, body in MODEL_FILES.items() if name != "model.safetensors"}
    with Hub(files) as hub:
        answer = _fetch(hub, ModelRequest(name="team/tiny"), tmp_path)

    assert answer.failure is not None
    assert answer.failure.reason is FailureReason.MODEL_REFUSED


def test_a_model_that_is_not_on_the_hub_is_reported_as_not_found(hub: Hub, tmp_path: Path) -> None:
    answer = _fetch(hub, ModelRequest(name="team/absent", revision="v1"), tmp_path)

    assert answer.failure is not None
    assert answer.failure.reason is FailureReason.MODEL_NOT_FOUND
    assert "RepositoryNotFoundError" in answer.failure.detail


def test_a_hub_dataset_is_written_as_jsonl_and_its_commit_is_returned(
    hub: Hub, tmp_path: Path
) -> None:
    target = tmp_path / "train.jsonl"
    request = DatasetRequest(source=HubDataset(hub="team/rows"), target=target)
    answer = _fetch(hub, request, tmp_path)

    assert answer.failure is None, answer.failure
    assert answer.commit == COMMIT
    assert [json.loads(line) for line in target.read_text().splitlines()] == ROWS
    assert "一加一" in target.read_text()


def test_a_download_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    disk = Disk.of(tmp_path)
    assert not disk.is_low()
    assert disk._replace(least_bytes=2**60).is_low()


def test_a_name_that_is_no_revision_is_not_sent_to_the_hub() -> None:
    source = HubDataset(hub="team/rows", revision="a/../../b")
    answer = run(DatasetRequest(source=source, target=Path("/nonexistent")))

    assert answer.problem is HubProblem.NOT_FOUND


def test_a_missing_split_is_reported_as_not_found(hub: Hub, tmp_path: Path) -> None:
    source = HubDataset(hub="team/rows", split="absent")
    answer = _fetch(hub, DatasetRequest(source=source, target=tmp_path / "t.jsonl"), tmp_path)

    assert answer.failure is not None
    assert answer.failure.reason is FailureReason.DATASET_NOT_FOUND
    assert answer.problem is HubProblem.SPLIT_NOT_FOUND
    assert "absent" in answer.failure.detail


@pytest.mark.parametrize(
    ("value", "is_safe"),
    [
        ('"0123abcd"', True),
        ('W/"1f-a/b+c="', True),
        ('"0123abcd-12"', True),
        ('"/etc/x"', False),
        ("a/../../x", False),
    ],
)
def test_headers_of_the_hub_that_become_file_names_are_checked(value: str, is_safe: bool) -> None:
    for name in ("ETag", "X-Linked-Etag", "X-Repo-Commit"):
        response = Response(200, headers={name: value})
        with contextlib.nullcontext() if is_safe else pytest.raises(UnsafeResponse):
            check_response(response)


def test_a_job_fails_because_of_its_dataset_if_the_files_on_the_hub_cannot_be_read(
    tmp_path: Path,
) -> None:
    request = DatasetRequest(source=HubDataset(hub="team/rows"), target=tmp_path / "train.jsonl")
    with Hub({}, {"train.parquet": b"PAR1xxxxPAR1"}) as hub:
        answer = _fetch(hub, request, tmp_path / "home")

    assert answer.failure is not None
    assert answer.failure.reason is FailureReason.DATASET_INVALID
    assert "footer" in answer.failure.detail
