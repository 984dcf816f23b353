"""Runs the hub's real client libraries in their own process against a local hub with one model and one dataset."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.data_spec import HubDataset
from contracts.errand import ErrandProgress, PrefetchRequest, PrefetchResult
from contracts.failure import FailureReason
from tests.hub_server import COMMIT, Hub
from tests.programs.processes import children_of, environment_of
from worker.settings import Settings
from worker.supervisor.errands.prefetch import run_prefetch
from worker.supervisor.placing.hub import DatasetRequest, HubAnswer, ModelRequest, fetch
from worker.supervisor.placing.hub_process import run

MODEL_FILES = {
    "config.json": b'{"model_type": "qwen2"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "modeling.py": b"print('code')",
    "onnx/model.safetensors": b"another one",
}
ROWS = [{"prompt": "一加一？", "completion": "二。"}, {"prompt": "a", "completion": "b"}]
DATASET_FILES = {"train.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode()}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(MODEL_FILES, DATASET_FILES) as running:
        yield running


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


def test_the_token_is_sent_to_the_hub_but_is_in_no_process_environment_and_the_size_is_known(
    hub: Hub, tmp_path: Path
) -> None:
    seen: list[str] = []
    progress: list[ErrandProgress] = []

    def pulse(reached: ErrandProgress | None) -> None:
        if reached is not None:
            progress.append(reached)
        for pid in children_of(os.getpid()):
            with contextlib.suppress(OSError):  # the process has ended or must not be inspected
                seen.extend(environment_of(pid).values())

    environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret"}
    environ |= {"PATH": os.environ["PATH"], "STEPLINE_WORKER_TOKEN": "secret", "AWS_TOKEN": "aws"}
    request = PrefetchRequest(kind="prefetch", model="team/tiny")
    outcome = run_prefetch(request, Settings(), environ, pulse)

    size = sum(len(MODEL_FILES[name]) for name in hub.downloaded)
    assert outcome.result == PrefetchResult(kind="prefetch", revision=COMMIT, bytes=size)
    assert progress[0] == ErrandProgress(bytes_done=0)
    assert all(one.bytes_done <= (one.bytes_total or 0) for one in progress)
    assert {one.bytes_total for one in progress} <= {None, size}
    assert hub.tokens == {"Bearer hf_secret"}
    assert not {"hf_secret", "secret", "aws"} & set(seen)


def test_a_download_error_does_not_contain_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    failure = run(
        ModelRequest(name="hf_secret/../x")
    ).failure  # the libraries' error repeats the name

    assert failure is not None
    assert "hf_secret" not in failure.detail.partition(":")[2]
    assert "***" in failure.detail


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


def test_a_missing_split_is_reported_as_not_found(hub: Hub, tmp_path: Path) -> None:
    source = HubDataset(hub="team/rows", split="absent")
    answer = _fetch(hub, DatasetRequest(source=source, target=tmp_path / "t.jsonl"), tmp_path)

    assert answer.failure is not None
    assert answer.failure.reason is FailureReason.DATASET_NOT_FOUND
    assert "absent" in answer.failure.detail
