"""An import downloads a dataset from a local hub and sends its rows, or says why not."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errands.errand import (
    ErrandClaim,
    ErrandOutcome,
    ImportRequest,
)
from contracts.errands.reason import ErrandReason
from tests.hub_server import COMMIT, Hub
from tests.worker.supervisor.hub_files import DATASET_FILES, ROWS
from worker.settings import Settings
from worker.supervisor.errands.importing import run_import
from worker.supervisor.placing.hub_limits import require_space

SETTINGS = Settings()


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
