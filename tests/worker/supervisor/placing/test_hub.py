"""Runs the hub's real client libraries in their own process against a local hub with one model and one dataset."""

import contextlib
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from httpx2 import Response

from contracts.data_spec import HubDataset
from contracts.errands.errand import (
    ErrandClaim,
    ErrandOutcome,
    ErrandProgress,
    ImportRequest,
    PrefetchRequest,
    PrefetchResult,
)
from contracts.errands.reason import ErrandReason
from contracts.failure import FailureReason
from tests.hub_server import COMMIT, Hub
from tests.programs.processes import children_of, environment_of
from worker.settings import Settings
from worker.supervisor.errands.importing import run_import
from worker.supervisor.errands.prefetch import run_prefetch
from worker.supervisor.placing.hub import DatasetRequest, HubAnswer, HubProblem, ModelRequest, fetch
from worker.supervisor.placing.hub_client import UnsafeResponse, check_response
from worker.supervisor.placing.hub_limits import Disk, require_space
from worker.supervisor.placing.hub_process import run

SETTINGS = Settings()
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


@pytest.mark.parametrize(
    ("model", "revision", "reason"),
    [
        ("team/absent", None, ErrandReason.MODEL_NOT_FOUND),
        pytest.param(
            "team/tiny", "absent", ErrandReason.REVISION_NOT_FOUND, marks=pytest.mark.slow
        ),
        ("team/tiny", "gated", ErrandReason.MODEL_GATED),
    ],
)
def test_a_failed_prefetch_says_why(
    hub: Hub, tmp_path: Path, model: str, revision: str | None, reason: ErrandReason
) -> None:
    environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    request = PrefetchRequest(kind="prefetch", model=model, revision=revision)

    outcome = run_prefetch(request, Settings(), environ, lambda _: None)

    assert outcome.failure is not None
    assert outcome.failure.reason is reason, outcome.failure.detail
    assert not outcome.failure.reason.is_temporary
    assert "DryRun" not in outcome.failure.detail
    assert hub.downloaded == []


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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"revision": "absent"}, ErrandReason.DATASET_NOT_FOUND),
        ({"hub": "team/absent"}, ErrandReason.DATASET_NOT_FOUND),
        ({"revision": "gated"}, ErrandReason.DATASET_GATED),
        ({"config": "absent"}, ErrandReason.SPLIT_NOT_FOUND),
        pytest.param({"split": "train[9:]"}, ErrandReason.SPLIT_NOT_FOUND, marks=pytest.mark.slow),
    ],
)
def test_a_failed_import_says_why(
    hub: Hub, tmp_path: Path, changes: dict[str, str], reason: ErrandReason
) -> None:
    outcome, sent = _import(hub, tmp_path, 1000, SETTINGS, **changes)

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is reason, outcome.failure.detail
    assert sent == []


def test_an_import_sends_the_rows_with_their_commit_unless_they_exceed_the_limit(
    hub: Hub, tmp_path: Path
) -> None:
    outcome, sent = _import(hub, tmp_path, 1000)
    assert outcome is None
    assert sent == [(ROWS, COMMIT)]

    outcome, sent = _import(hub, tmp_path, 50)

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.DATASET_TOO_LARGE
    assert sent == []
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "evidence"),
    [
        ({"train.jsonl": b'{"prompt": "a", "completion": "b"}\n{"prompt": oops\n'}, "row 1"),
        ({"a.jsonl": b'{"x": "1"}\n', "b.jsonl": b'{"y": "2"}\n'}, "column names"),
        (
            {"README.md": b"---\nconfigs:\n- config_name: default\n  data_files: OUTSIDE\n---\n"},
            "belong",
        ),
    ],
)
def test_files_that_cannot_be_read_or_are_outside_the_dataset_are_named_as_the_reason(
    tmp_path: Path, files: dict[str, bytes], evidence: str
) -> None:
    outside = tmp_path / "other.jsonl"
    outside.write_bytes(DATASET_FILES["train.jsonl"])
    named = {name: each.replace(b"OUTSIDE", bytes(outside)) for name, each in files.items()}
    with Hub({}, named) as hub:
        outcome, sent = _import(hub, tmp_path, 1000)

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.DATASET_UNREADABLE
    assert evidence in outcome.failure.detail
    assert sent == []


@pytest.mark.slow
def test_a_small_file_that_unpacks_to_more_than_the_memory_limit_ends_only_its_import(
    tmp_path: Path,
) -> None:
    row = b'{"prompt": "a", "completion": "' + bytes(300 * 2**20).replace(b"\0", b"b") + b'"}\n'
    limit = Settings(hub_memory_bytes=2 * 1024**3)
    with Hub({}, {"train.jsonl.gz": gzip.compress(row, 1)}) as hub:
        outcome, sent = _import(hub, tmp_path, 2**40, settings=limit)

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.MEMORY_LIMIT, outcome.failure.detail
    assert sent == []


def test_an_import_that_takes_too_long_is_ended(hub: Hub, tmp_path: Path) -> None:
    hub.opened.clear()
    outcome, _ = _import(hub, tmp_path, 1000, settings=Settings(import_seconds=1))
    hub.opened.set()

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.TIME_LIMIT
    assert not list((tmp_path / "work").iterdir())


def test_a_download_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    disk = Disk.of(tmp_path)
    assert not disk.is_low()
    assert disk._replace(least_bytes=2**60).is_low()


def test_a_name_that_is_no_revision_is_not_sent_to_the_hub() -> None:
    source = HubDataset(hub="team/rows", revision="a/../../b")
    answer = run(DatasetRequest(source=source, target=Path("/nonexistent")))

    assert answer.problem is HubProblem.NOT_FOUND


def test_a_dataset_with_a_script_is_refused_and_its_script_is_not_run(tmp_path: Path) -> None:
    with Hub({}, {"rows.py": b"raise SystemExit(3)"}) as hub:
        outcome, _ = _import(hub, tmp_path, 1000)

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.DATASET_HAS_SCRIPT, outcome.failure.detail


def test_a_download_that_does_not_fit_on_the_disk_fails_first_and_says_how_much_is_missing(
    hub: Hub, tmp_path: Path
) -> None:
    hub.claimed_bytes = 2**50
    outcome, _ = _import(hub, tmp_path, 1000)

    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.DISK_FULL
    assert f"needs {3 * 2**50} bytes" in outcome.failure.detail
    assert "more bytes" in outcome.failure.detail
    assert hub.downloaded == []
    require_space(tmp_path / "hub", 1)


def _import(
    running: Hub,
    directory: Path,
    limit_bytes: int,
    settings: Settings = SETTINGS,
    **changes: str,
) -> tuple[ErrandOutcome | None, list[tuple[list[object], str]]]:
    """Run an import; return its outcome and what it sent."""
    sent: list[tuple[list[object], str]] = []

    def send(rows: Path, commit: str, pulse: Callable[[], object]) -> None:
        pulse()
        sent.append(([json.loads(line) for line in rows.read_text().splitlines()], commit))

    request = ImportRequest.model_validate({"kind": "import", "hub": "team/rows", **changes})
    claim = ErrandClaim(
        errand_id="e", token="t", lease_seconds=20, request=request, limit_bytes=limit_bytes
    )
    environ = {"HF_ENDPOINT": running.url, "HF_HOME": str(directory), "PATH": os.environ["PATH"]}
    outcome = run_import(
        claim,
        request,
        send,
        directory=directory / "work" / "import",
        settings=settings,
        environ=environ,
        pulse=lambda _: None,
    )
    # The tables that the library creates are deleted. The downloaded files stay in the hub's cache.
    assert not (directory / "datasets").exists()
    return outcome, sent


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
