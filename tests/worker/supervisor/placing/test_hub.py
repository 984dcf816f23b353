"""Runs the hub's real client libraries in their own process against a local hub with one model and one dataset."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from contracts.failure import FailureReason
from contracts.job import HubDataset
from tests.programs.processes import children_of, environment_of
from worker.supervisor.placing.hub import DatasetRequest, HubAnswer, ModelRequest, fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
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


class Hub:
    """Serves the model `team/tiny` and the dataset `team/rows`, both at one commit."""

    def __init__(self, model_files: dict[str, bytes]) -> None:
        files = {"models/team/tiny": model_files, "datasets/team/rows": DATASET_FILES}
        outer = self
        self.downloaded: list[str] = []
        self.tokens: set[str | None] = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(has_body=True)

            def do_HEAD(self) -> None:
                self._answer(has_body=False)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer(has_body=True)

            def _answer(self, has_body: bool) -> None:
                outer.tokens.add(self.headers.get("Authorization"))
                status, body, headers = outer.find(files, self.path.split("?")[0], self.command)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if has_body:
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def find(
        self, repositories: dict[str, dict[str, bytes]], path: str, method: str
    ) -> tuple[int, bytes, dict[str, str]]:
        for repository, files in repositories.items():
            kind, _, name = repository.partition("/")
            if path.startswith(f"/api/{repository}/tree/"):
                tree = [
                    {
                        "type": "file",
                        "path": file,
                        "size": len(content),
                        "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                    }
                    for file, content in files.items()
                ]
                return 200, json.dumps(tree).encode(), {}
            if path.startswith(f"/api/{repository}"):
                siblings = [{"rfilename": file} for file in files]
                info = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0}
                return 200, json.dumps(info).encode(), {}
            prefix = f"/{name}/resolve/" if kind == "models" else f"/{repository}/resolve/"
            if path.startswith(prefix):
                file = path.removeprefix(prefix).partition("/")[2]
                if file in files:
                    if method == "GET":
                        self.downloaded.append(file)
                    etag = hashlib.sha1(files[file], usedforsecurity=False).hexdigest()
                    return 200, files[file], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
                return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
        return 404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(MODEL_FILES) as running:
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


def test_the_token_is_sent_to_the_hub_but_is_in_no_process_environment(
    hub: Hub, tmp_path: Path
) -> None:
    seen: list[str] = []

    def pulse() -> None:
        for pid in children_of(os.getpid()):
            with contextlib.suppress(OSError):  # the process has ended or must not be inspected
                seen.extend(environment_of(pid).values())

    environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret"}
    environ |= {"PATH": os.environ["PATH"], "STEPLINE_WORKER_TOKEN": "secret", "AWS_TOKEN": "aws"}
    answer = fetch(ModelRequest(name="team/tiny"), environ, os.getpid(), pulse)

    assert answer.failure is None, answer.failure
    assert hub.tokens == {"Bearer hf_secret"}
    assert not {"hf_secret", "secret", "aws"} & set(seen)


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
