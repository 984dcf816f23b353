"""Imports of datasets from the hub: requests, the rows that a worker sends, and the rows that are rejected."""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import Response

from app.config.settings import Settings
from app.datasets import store
from app.datasets.receiving import limits_of
from app.datasets.review.process import review_limits
from app.datasets.validation.runner import Validator
from app.db.engine import Database
from app.errors.kinds import ErrandSuperseded
from app.imports import service as imports
from contracts.errands.errand import ErrandClaim
from contracts.protocol.wire import ERRAND_TOKEN_HEADER
from tests.app.errands.errand_worker import ErrandWorker
from tests.app.player import WORKER, Player

URL = "/v1/dataset-imports"
WANTED = {"hub": "team/rows", "split": "train[:9]", "revision": "v1"}
ROWS = [{"question": f"q{n}", "output": f"a{n}"} for n in range(3)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
MAPPED = WANTED | {"format": "alpaca", "columns": {"instruction": "question"}}


def begin(player: Player, **wanted: Any) -> Any:
    response = player.client.post(URL, json=wanted)
    assert response.status_code == 202, response.text
    assert response.headers["Location"] == f"/v1/errands/{response.json()['id']}"
    return response.json()


def importer(player: Player, name: str = "w1") -> ErrandWorker:
    return ErrandWorker(player, name, models=None, kinds=("import",))


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_an_imported_dataset_names_its_source_and_equals_the_upload_of_the_same_rows(
    player: Player,
) -> None:
    worker = importer(player)
    begun = begin(player, **MAPPED)
    assert begin(player, **MAPPED)["id"] == begun["id"]
    claim = worker.claim()
    assert claim.limit_bytes is not None
    assert worker.beat(claim, bytes_done=5, bytes_total=9).status_code == 204
    assert player.get(f"/v1/errands/{begun['id']}")["source"]["revision"] == "v1"

    assert worker.send_rows(claim, JSONL).status_code == 204

    errand = player.get(f"/v1/errands/{begun['id']}")
    assert (errand["kind"], errand["status"], errand["model"]) == ("import", "succeeded", None)
    assert errand["source"] == {
        "hub": "team/rows",
        "config": None,
        "split": "train[:9]",
        "revision": "abc",
    }
    assert errand["progress"] == {"bytes_done": len(JSONL), "bytes_total": len(JSONL)}
    dataset = player.get(f"/v1/datasets/{errand['dataset']}")
    assert dataset["source"] == errand["source"]
    assert (dataset["rows"], dataset["filename"], dataset["status"]) == (3, "rows.jsonl", "ready")
    assert dataset["columns"] == {"format": "alpaca", "columns": {"instruction": "question"}}
    assert dataset["review"] is not None
    query = {"format": "alpaca", "columns[instruction]": "question"}
    same = player.client.post("/v1/datasets", files={"file": ("x.jsonl", JSONL)}, params=query)
    assert (same.status_code, same.json()["id"]) == (200, dataset["id"])
    again = begin(player, **MAPPED)
    assert again["id"] != begun["id"]
    worker.send_rows(worker.claim(), JSONL)
    assert player.get(f"/v1/errands/{again['id']}")["dataset"] == dataset["id"]


def test_invalid_rows_end_an_import_with_the_problems_of_an_upload_in_either_language(
    player: Player,
) -> None:
    worker = importer(player)
    for body, problem in ((b'{"instruction": "q"}\n', "row 1"), (b"\x00\xff no JSONL", "line 1")):
        errand_id = begin(player, **WANTED)["id"]

        assert worker.send_rows(worker.claim(), body).status_code == 204

        errand = player.get(f"/v1/errands/{errand_id}")
        error = errand["error"]
        assert (errand["status"], error["code"]) == ("failed", "dataset_rejected")
        assert errand["dataset"] is None
        assert any(problem in each for each in error["problems"]), error
        headers = {"Accept-Language": "zh"}
        chinese = player.client.get(f"/v1/errands/{errand_id}", headers=headers).json()["error"]
        assert chinese["message"] == "服务器拒绝了这些数据。"
        assert chinese["detail"] != error["detail"]
    assert player.get("/v1/datasets")["data"] == []


def test_rows_are_accepted_only_from_the_worker_that_holds_the_import(player: Player) -> None:
    worker, other = importer(player), ErrandWorker(player, "w2")
    dataset = player.upload()
    begin(player, **WANTED)
    claim = worker.claim()
    forged = ErrandClaim.model_validate(claim.model_dump() | {"token": "wrong"})
    player.client.get(
        f"/v1/datasets/{dataset}/preview",
        params={"model": "tiny-qwen2"},
        headers={"Prefer": "wait=0"},
    )

    assert code_of(worker.send_rows(forged, JSONL)) == (409, "errand_superseded")
    assert code_of(worker.send_rows(other.claim(), JSONL)) == (409, "errand_superseded")
    assert code_of(worker.send_rows(claim, JSONL, Authorization="Bearer x")) == (
        401,
        "invalid_token",
    )
    wrong = worker.send_rows(claim, JSONL, **{"X-Stepline-Sha256": "0" * 64})
    assert code_of(wrong) == (400, "checksum_mismatch")
    assert worker.send_rows(claim, JSONL, **{"X-Stepline-Commit": "../x"}).status_code == 400
    assert ERRAND_TOKEN_HEADER not in WORKER
    assert worker.send_rows(claim, JSONL + b'{"prompt":"a","completion":"b"}\n').status_code == 204
    assert code_of(worker.send_rows(claim, JSONL)) == (409, "errand_superseded")


class TestLimits:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_upload_bytes": 1000, "background_bytes": 200})

    def test_a_body_over_the_limit_is_rejected_and_a_large_dataset_is_checked_later(
        self, player: Player, app: FastAPI
    ) -> None:
        worker = importer(player)
        errand_id = begin(player, **WANTED)["id"]
        claim = worker.claim()
        assert claim.limit_bytes == 1000
        assert worker.send_rows(claim, JSONL * 20).status_code == 413
        assert player.get(f"/v1/errands/{errand_id}")["status"] == "running"
        rows = b'{"prompt": "a", "completion": "b"}\n' * 10

        assert worker.send_rows(claim, rows).status_code == 204

        dataset_id = player.get(f"/v1/errands/{errand_id}")["dataset"]
        assert player.get(f"/v1/datasets/{dataset_id}")["status"] == "validating"
        validator: Validator = app.state.validator
        assert validator.run_next()
        dataset = player.get(f"/v1/datasets/{dataset_id}")
        assert (dataset["status"], dataset["source"]["revision"]) == ("ready", "abc")


def test_an_import_that_cannot_start_is_rejected_with_the_field_or_the_reason(
    player: Player,
) -> None:
    ErrandWorker(player)
    refused = player.client.post(URL, json=WANTED)
    assert code_of(refused) == (409, "hub_not_enabled")
    ErrandWorker(player, "old", models=None, kinds=("preview", "prefetch"))
    assert code_of(player.client.post(URL, json=WANTED)) == (409, "workers_too_old")
    for body, param in (
        ({}, "hub"),
        (WANTED | {"hub": "../x"}, "hub"),
        (WANTED | {"revision": "-x"}, "revision"),
        (WANTED | {"split": ""}, "split"),
        (WANTED | {"split": "train[1]"}, "split"),
        (WANTED | {"config": ""}, "config"),
        (WANTED | {"format": "xml"}, "format"),
        (WANTED | {"columns": {"instrution": "q"}}, "columns.instrution"),
        (WANTED | {"columns": {"instruction": ""}}, "columns.instruction"),
        (WANTED | {"other": 1}, "other"),
    ):
        response = player.client.post(URL, json=body)
        assert code_of(response) == (400, "invalid_field"), response.text
        assert response.json()["error"]["param"] == param
    unsafe = player.client.post(URL, json=WANTED | {"config": "a\x00b"})
    assert code_of(unsafe) == (400, "unsafe_character")


class CancellingFile(io.BytesIO):
    """A received file during whose check the user cancels the import."""

    def __init__(self, content: bytes, cancel: Callable[[], object]) -> None:
        super().__init__(content)
        self._cancel = cancel

    def read(self, size: int | None = -1, /) -> bytes:
        self._cancel()
        return super().read(size)


def test_an_import_that_is_cancelled_while_its_rows_are_checked_stores_no_dataset(
    player: Player, database: Database, app: FastAPI, settings: Settings
) -> None:
    worker = importer(player)
    errand_id = begin(player, **WANTED)["id"]
    claim = worker.claim()
    rows = b'{"prompt": "a", "completion": "b"}\n'
    file = CancellingFile(rows, lambda: player.client.post(f"/v1/errands/{errand_id}/cancel"))

    with pytest.raises(ErrandSuperseded):
        imports.store_rows(
            database,
            app.state.storage,
            errand_id,
            claim.token,
            imports.Received(file, "abc", len(rows)),
            limits=limits_of(settings),
            review_limits=review_limits(settings),
            background_bytes=settings.background_bytes,
        )

    assert player.get(f"/v1/errands/{errand_id}")["status"] == "cancelled"
    assert player.get("/v1/datasets")["data"] == []
    assert list((settings.data_dir / "datasets").iterdir()) == []


def test_datasets_with_identical_rows_share_one_file_until_the_last_one_is_deleted(
    player: Player, settings: Settings
) -> None:
    stored = settings.data_dir / "datasets"
    renamed = JSONL.replace(b"question", b"instruction")
    first = player.client.post("/v1/datasets", files={"file": ("a.jsonl", renamed)}).json()["id"]
    query = {"format": "alpaca", "columns[instruction]": "question"}
    upload = {"file": ("b.jsonl", JSONL)}
    second = player.client.post("/v1/datasets", files=upload, params=query).json()["id"]

    assert first != second
    assert len(list(stored.iterdir())) == 1
    assert player.client.delete(f"/v1/datasets/{first}").status_code == 200
    assert len(player.get(f"/v1/datasets/{second}")["preview"]) == 3
    assert player.client.delete(f"/v1/datasets/{second}").status_code == 200
    assert list(stored.iterdir()) == []


def test_a_file_is_kept_if_its_dataset_is_deleted_while_another_one_begins_to_share_it(
    player: Player, database: Database, settings: Settings
) -> None:
    old = player.upload()
    with ThreadPoolExecutor(1) as pool:
        with database.writing() as session:
            dataset = store.find_any(session, old)
            assert dataset is not None
            path = store.find_stored_path(session, dataset.sha256)
            deletion = pool.submit(player.client.delete, f"/v1/datasets/{old}")
            fields = (
                "filename",
                "upload_sha256",
                "upload_bytes",
                "sha256",
                "bytes",
                "rows",
                "forms",
            )
            row = {name: getattr(dataset, name) for name in fields}
            row |= {"id": "ds_00000000", "path": path, "created_at": dataset.created_at}
            store.insert_dataset(session, row)
            with pytest.raises(TimeoutError):
                deletion.result(0.2)  # it waits for this transaction
        assert deletion.result(10).status_code == 200

    assert path is not None
    assert (settings.data_dir / path).exists()
    assert player.client.delete("/v1/datasets/ds_00000000").status_code == 200
    assert not (settings.data_dir / path).exists()


def test_an_errand_is_cancelled_while_it_is_queued_or_running_and_listed_newest_first(
    player: Player,
) -> None:
    worker = importer(player)
    queued = begin(player, hub="team/a")["id"]
    running = begin(player, hub="team/b")["id"]
    assert player.client.post(f"/v1/errands/{queued}/cancel").json()["status"] == "cancelled"
    claim = worker.claim()
    assert claim.errand_id == running

    cancelled = player.client.post(f"/v1/errands/{running}/cancel")

    assert cancelled.json()["error"]["code"] == "cancelled"
    assert code_of(worker.beat(claim)) == (409, "errand_superseded")
    assert code_of(worker.send_rows(claim, JSONL)) == (409, "errand_superseded")
    assert player.client.post(f"/v1/errands/{running}/cancel").status_code == 200
    ended = begin(player, hub="team/b")["id"]
    worker.finish(worker.claim(), failure={"reason": "dataset_gated"})
    assert code_of(player.client.post(f"/v1/errands/{ended}/cancel")) == (409, "errand_ended")
    assert code_of(player.client.post("/v1/errands/errand_x/cancel")) == (404, "errand_not_found")
    page = player.get("/v1/errands", limit=2)
    assert [each["id"] for each in page["data"]] == [ended, running]
    rest = player.get("/v1/errands", cursor=page["cursor"])
    assert [each["id"] for each in rest["data"]] == [queued]
