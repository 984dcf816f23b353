"""Large files, which are checked after the response: the states of the dataset, its problems, leases and retries."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from fastapi import FastAPI

from app.config.settings import Settings
from app.datasets.validation import service, store
from app.datasets.validation.runner import Validator
from app.db.engine import Database, database_now
from app.sweep.leftovers import remove_leftovers
from tests.app.player import Player
from tests.programs.server_process import running
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


@pytest.mark.parametrize("make", [make_jsonl, make_parquet])
def test_a_large_file_is_answered_at_once_and_becomes_the_dataset_that_a_small_one_becomes(
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
    assert {name: ready[name] for name in checked if name != "object"} == {
        name: value for name, value in checked.items() if name != "object"
    }
    assert [path.parent.name for path in stored_files(validator)] == ["datasets"]
    assert player.submit(dataset={"train": dataset["id"]})


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
        error = response.json()["error"] | {"errors": None}
        assert (response.status_code, found["failure"]) == (400, error)
    assert (failed["status"], failed["rows"], failed["preview"]) == ("failed", 0, [])
    assert len(failed["problems"]) == 7
    assert failed["problems"][0].startswith("line 301: output is a number")
    assert stored_files(validator) == []
    (listed,) = player.get("/v1/datasets")["data"]
    assert (listed["status"], listed["failure"]) == ("failed", failed["failure"])

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
        preview = player.client.get(f"/v1/datasets/{dataset_id}/preview", params={"model": "m"})
        assert (preview.status_code, preview.json()["error"]["code"]) == (status, code)


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
        assert not service.accept(session, lost, {})
        service.release(session, taken, is_counted=False)
    assert validator.run_next()
    assert player.get(f"/v1/datasets/{dataset_id}")["rows"] == len(ROWS)


def test_a_check_whose_servers_always_fall_silent_ends(
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
