"""Large files, which are checked after the response: the states of the dataset, its problems, leases and retries."""

import contextlib
import errno
import io
import json
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from app.config.settings import Settings
from app.datasets.conversion.request import Limits
from app.datasets.validation import process, service, store
from app.datasets.validation.child import check
from app.datasets.validation.request import Accepted, CheckRequest
from app.datasets.validation.runner import Validator
from app.db.engine import Database, database_now
from app.db.tables import Dataset
from app.sweep.leftovers import remove_leftovers
from tests.app.player import Player
from tests.programs.processes import children_of
from tests.programs.server_process import Server, running
from tests.programs.waiting import wait_for
from tests.tables import make_jsonl, make_parquet

ROWS = [{"instruction": f"question {n}", "output": f"answer {n}"} for n in range(300)]
BAD_ROW = {"instruction": "question", "output": 7}

T = TypeVar("T")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Return settings with which every file counts as large."""
    return settings.model_copy(update={"background_bytes": 0})


@pytest.fixture
def validator(app: FastAPI) -> Validator:
    """Return the application's validator, whose threads do not run."""
    found: Validator = app.state.validator
    return found


def upload(player: Player, content: bytes, name: str = "rows.jsonl", **query: Any) -> Any:
    response = player.client.post("/v1/datasets", files={"file": (name, content)}, params=query)
    assert response.status_code == 202, response.text
    dataset = response.json()
    assert response.headers["Location"] == f"/v1/datasets/{dataset['id']}"
    return dataset


def stored_files(validator: Validator) -> list[Path]:
    return [
        path
        for path in validator.storage.root.rglob("*")
        if "-" in path.name or path.parent.name == "aside"
    ]


@pytest.mark.parametrize("make", [make_jsonl, pytest.param(make_parquet, marks=pytest.mark.slow)])
def test_a_large_file_gets_an_immediate_response_and_becomes_the_same_dataset_as_a_small_one(
    player: Player, validator: Validator, settings: Settings, make: Callable[[Any], bytes]
) -> None:
    content = make(ROWS)
    dataset = upload(player, content)
    assert (dataset["status"], dataset["rows"], dataset["preview"]) == ("validating", 0, [])
    assert (dataset["bytes"], dataset["progress"]) == (len(content), {"bytes": 0, "rows": 0})
    assert upload(player, content)["id"] == dataset["id"]

    assert validator.run_next()
    assert not validator.run_next()

    ready = player.get(f"/v1/datasets/{dataset['id']}")
    checked = player.client.post(
        "/v1/datasets", files={"file": ("rows.jsonl", content)}, params={"validate_only": "true"}
    ).json()
    assert (ready["status"], ready["progress"], ready["failure"]) == ("ready", None, None)
    compared = checked.keys() - {"object"}
    assert {name: ready[name] for name in compared} == {name: checked[name] for name in compared}
    assert [path.parent.name for path in stored_files(validator)] == ["datasets"]
    assert player.submit(dataset={"train": dataset["id"]})


def test_a_dry_run_warns_about_the_rows_of_a_large_file_with_their_lines(
    player: Player, validator: Validator
) -> None:
    rows = [*ROWS, ROWS[6], {"instruction": "x" * 70_000, "output": "<|im_end|>"}]
    dataset_id = upload(player, make_jsonl(rows))["id"]
    assert validator.run_next()

    review = player.get(f"/v1/datasets/{dataset_id}")["review"]
    spec = {"model": "m", "dataset": {"train": dataset_id}}
    plan = player.client.post("/v1/jobs?dry_run=true", json=spec).json()

    codes = ["duplicates", "special_tokens"]
    assert [each["code"] for each in review["warnings"]] == codes
    assert [each["places"][0]["line"] for each in review["warnings"]] == [301, 302]
    assert {each["code"] for each in plan["data_warnings"]} >= set(codes)


def test_a_review_that_fails_does_not_end_the_check(player: Player, validator: Validator) -> None:
    validator.settings = validator.settings.model_copy(update={"review_seconds": 0.001})
    rows = [*ROWS, {"instruction": "x" * 70_000, "output": "a"}]
    dataset_id = upload(player, make_jsonl(rows))["id"]

    assert validator.run_next()

    dataset = player.get(f"/v1/datasets/{dataset_id}")
    assert (dataset["status"], dataset["review"]) == ("ready", None)


def test_a_child_without_progress_is_restarted_once(
    player: Player, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = upload(player, make_jsonl(ROWS))["id"]
    said = "echo '[\"progress\", 1, 7]'; exec sleep 1000"
    monkeypatch.setattr(process, "PROGRAM", ("/bin/sh", "-c", said, "--"))
    monkeypatch.setattr(process, "SILENT_SECONDS", 0.2)

    assert validator.run_next()
    assert player.get(f"/v1/datasets/{dataset_id}")["status"] == "validating"
    assert validator.run_next()

    (problem,) = player.get(f"/v1/datasets/{dataset_id}")["problems"]
    assert "no progress in 0.2 seconds more than once; 7 rows" in problem


def test_a_failed_dataset_keeps_the_error_of_a_small_file_and_all_its_problems(
    player: Player, validator: Validator, settings: Settings
) -> None:
    content = make_jsonl([*ROWS, *[BAD_ROW] * 7])
    dataset_id = upload(player, content)["id"]
    assert validator.run_next()

    failed = player.get(f"/v1/datasets/{dataset_id}")
    query = {"validate_only": "true"}
    for language in ("en", "zh"):
        headers = {"Accept-Language": language}
        response = player.client.post(
            "/v1/datasets", files={"file": ("rows", content)}, params=query, headers=headers
        )
        found = player.client.get(f"/v1/datasets/{dataset_id}", headers=headers).json()
        error = response.json()["error"]
        assert (response.status_code, found["failure"]) == (400, error)
    assert (failed["status"], failed["rows"], failed["preview"]) == ("failed", 0, [])
    assert [each["message"] for each in failed["failure"]["errors"]] == failed["problems"]
    assert len(failed["problems"]) == 7
    assert failed["problems"][0].startswith("row 301, line 301: output is a number")
    assert stored_files(validator) == []
    (listed,) = player.get("/v1/datasets")["data"]
    assert (listed["status"], listed["failure"]) == (
        "failed",
        failed["failure"] | {"errors": None},
    )

    # The same file is checked again.
    assert upload(player, content)["status"] == "validating"
    assert player.client.delete(f"/v1/datasets/{dataset_id}").status_code == 200
    assert player.client.get(f"/v1/datasets/{dataset_id}").status_code == 404
    assert stored_files(validator) == []


def test_a_job_cannot_use_a_dataset_until_it_is_ready(player: Player, validator: Validator) -> None:
    for rows, status, code in (
        (ROWS, 409, "dataset_validating"),
        ([BAD_ROW], 400, "dataset_failed"),
    ):
        dataset_id = upload(player, make_jsonl(rows))["id"]
        if code == "dataset_failed":
            while validator.run_next():
                pass
        response = player.post_job(dataset={"train": dataset_id})
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (status, code)
        assert error["param"] == "dataset.train"
        assert f"/v1/datasets/{dataset_id}" in error["hint"]
        for path in ("preview?model=m", "review"):
            refused = player.client.get(f"/v1/datasets/{dataset_id}/{path}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


def test_the_server_says_when_to_repeat_a_job_whose_dataset_is_still_being_checked(
    player: Player, database: Database
) -> None:
    dataset_id = upload(player, make_jsonl(ROWS))["id"]
    for size, seconds in ((1, "5"), (10**9, "50"), (10**11, "60")):
        with database.writing() as session:
            session.execute(update(Dataset).values(upload_bytes=size))
        response = player.post_job(dataset={"train": dataset_id})
        assert (response.status_code, response.headers["retry-after"]) == (409, seconds)


def test_another_server_takes_over_a_check_when_the_lease_expires(
    player: Player, validator: Validator, database: Database
) -> None:
    dataset_id = upload(player, make_jsonl(ROWS))["id"]
    with database.writing() as session:
        lost = service.claim_next(session)
    assert lost is not None
    assert not validator.run_next(), "the lease has not expired"
    with database.writing() as session:
        assert service.renew(session, lost, 100, 3)
    assert player.get(f"/v1/datasets/{dataset_id}")["progress"] == {"bytes": 100, "rows": 3}

    expire(database, dataset_id, lost.token)
    with database.writing() as session:
        taken = service.claim_next(session)
        assert taken is not None
        assert (taken.dataset.id, taken.tries) == (dataset_id, 2)
        assert not service.renew(session, lost, 200, 6)
        unused = Accepted(sha256="", bytes=0, rows=0, forms={}, features={}, path="")
        assert not service.accept(session, lost, unused)
        service.release(session, taken, is_counted=False)
    assert validator.run_next()
    assert player.get(f"/v1/datasets/{dataset_id}")["rows"] == len(ROWS)


def test_a_check_fails_if_every_server_that_takes_it_over_falls_silent(
    player: Player, validator: Validator, database: Database
) -> None:
    dataset_id = upload(player, make_jsonl(ROWS))["id"]
    for _ in range(service.MOST_TAKEOVERS):
        with database.writing() as session:
            held = service.claim_next(session)
            assert held is not None
        expire(database, dataset_id, held.token)

    assert not validator.run_next()

    failed = player.get(f"/v1/datasets/{dataset_id}")
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "dataset_unreadable")
    assert remove_leftovers(database, validator.storage, -1)
    assert stored_files(validator) == []


def expire(database: Database, dataset_id: str, token: str) -> None:
    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=1)
        assert store.update_held(session, dataset_id, token, expires_at=past)


def test_a_failed_dataset_is_deleted_after_a_week(
    player: Player, validator: Validator, database: Database
) -> None:
    dataset_id = upload(player, make_jsonl([BAD_ROW]))["id"]
    assert validator.run_next()
    with database.writing() as session:
        now = database_now(session)
        week = timedelta(seconds=service.FAILED_SECONDS)
        assert service.forget_failed(session, now + week - timedelta(seconds=60)) == 0
        assert service.forget_failed(session, now + week + timedelta(seconds=60)) == 1
    assert player.client.get(f"/v1/datasets/{dataset_id}").status_code == 404


def test_a_killed_child_is_restarted_once_and_a_hung_or_slow_one_ends_the_check(
    player: Player, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = upload(player, make_jsonl(ROWS))["id"]
    monkeypatch.setattr(process, "PROGRAM", ("/bin/sh", "-c", "kill -KILL $$", "--"))
    assert validator.run_next()
    assert player.get(f"/v1/datasets/{dataset_id}")["status"] == "validating"
    assert validator.run_next()
    assert not validator.run_next()
    failed = player.get(f"/v1/datasets/{dataset_id}")
    assert failed["failure"]["code"] == "dataset_unreadable"
    assert "ended with SIGKILL more than once; 0 rows" in failed["problems"][0]

    monkeypatch.setattr(process, "PROGRAM", ("/bin/sh", "-c", "exec sleep 1000", "--"))
    validator.settings = validator.settings.model_copy(update={"validation_seconds": 0.2})
    upload(player, make_jsonl(ROWS))
    assert validator.run_next()
    failed = player.get(f"/v1/datasets/{dataset_id}")
    assert "takes more than 0.2 seconds (STEPLINE_VALIDATION_SECONDS)" in failed["problems"][0]
    assert stored_files(validator) == []


def test_a_full_disk_is_distinguished_from_other_disk_errors(
    player: Player, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, code in ((errno.ENOSPC, "storage_full"), (errno.EIO, "storage_unavailable")):
        dataset_id = upload(player, make_jsonl(ROWS))["id"]
        answer = f"echo '[\"no_room\", {number}]'"
        monkeypatch.setattr(process, "PROGRAM", ("/bin/sh", "-c", answer, "--"))
        assert validator.run_next()
        assert player.get(f"/v1/datasets/{dataset_id}")["failure"]["code"] == code
    monkeypatch.undo()
    written = io.BytesIO()
    limits = Limits(unpacked_bytes=1, memory_bytes=1, seconds=1)
    nothing: dict[str, Any] = {"format": None, "columns": {}}
    request = CheckRequest(
        "rows", None, nothing, str(validator.storage.root), "/dev/full", "a", limits, 1, limits
    )
    with TemporaryFile() as file:
        file.write(make_jsonl(ROWS))
        check(file, request, written)
    assert json.loads(written.getvalue().splitlines()[0])[0::2] == ["progress", 1]
    assert json.loads(written.getvalue().splitlines()[-1]) == ["no_room", errno.ENOSPC]


def test_a_check_survives_when_its_child_and_the_server_are_killed(
    tmp_path: Path, sqlite_url: str
) -> None:
    content = make_jsonl([{"instruction": f"question {n}", "output": "a"} for n in range(8_000)])

    def find_child(server: Server) -> Any:
        for pid in children_of(server.process.pid):
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(pid)
                if "app.datasets.validation" in " ".join(child.cmdline()):
                    return child
        return None

    with running(tmp_path, sqlite_url, background_bytes=1) as server:
        response = server.client.post("/v1/datasets", files={"file": ("rows.jsonl", content)})
        assert response.status_code == 202, response.text
        dataset_id = response.json()["id"]
        first = wait_for(lambda: find_child(server))
        first.kill()
        second = wait_for(lambda: (child := find_child(server)) != first and child)
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not second.is_running() or second.status() == psutil.STATUS_ZOMBIE)
        server.start()
        wait_for(lambda: find_child(server))
        server.stop(signal.SIGTERM)
        server.start()
        path = f"/v1/datasets/{dataset_id}"
        wait_for(lambda: server.client.get(path).json()["status"] != "validating")
        dataset = server.client.get(path).json()
        assert (dataset["status"], dataset["rows"]) == ("ready", 8_000), dataset
