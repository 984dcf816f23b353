"""Previews that users request. The tests act as the worker."""

from typing import Any

import pytest

from app.db.engine import Database
from app.errors.kinds import DatasetNotFound
from app.previews.service import read_preview
from contracts.errands.errand import PreviewRequest
from tests.app.errands.errand_worker import MODEL, ErrandWorker, result_of
from tests.app.player import Player

NO_WAIT = {"Prefer": "wait=0"}


def url_of(dataset: str) -> str:
    return f"/v1/datasets/{dataset}/preview"


def error_of(player: Player, dataset: str, **query: Any) -> tuple[int, Any]:
    response = player.client.get(url_of(dataset), params=query, headers=NO_WAIT)
    return response.status_code, response.json()["error"]


def test_a_preview_is_rendered_once_and_then_returned_as_json_or_text(player: Player) -> None:
    worker = ErrandWorker(player)
    url = url_of(player.upload())
    query = {"model": MODEL, "rows": "5,0", "max_length": "16"}

    pending = player.client.get(url, params=query, headers=NO_WAIT)
    same = player.client.get(url, params=query, headers=NO_WAIT)

    assert (pending.status_code, pending.headers["Retry-After"]) == (202, "1")
    assert pending.headers["Location"] == f"/v1/errands/{pending.json()['id']}"
    assert same.json()["id"] == pending.json()["id"]
    claim = worker.claim()
    assert claim.request.model_dump(include={"rows", "max_length", "model"}) == {
        "rows": [5, 0],
        "max_length": 16,
        "model": MODEL,
    }
    assert [line["row"] for line in worker.rows(claim).json()["rows"]] == [5, 0]
    assert '"instruction": "5"' in worker.rows(claim).json()["rows"][0]["line"]
    assert worker.finish(claim, result=result_of(5, 0)).status_code == 204

    shown = player.client.get(url, params=query)
    assert shown.status_code == 200
    assert shown.json() == {
        **result_of(5, 0),
        "rows": [
            {
                **row,
                "tokens": [
                    {"id": 1, "text": "<b>\x1b[2J\n", "trained": False},
                    {"id": 2, "text": "二🙂", "trained": True},
                    {"id": 3, "text": "", "trained": True, "joined": True},
                ],
            }
            for row in result_of(5, 0)["rows"]
        ],
    }
    plain = {"Accept": "text/plain"}
    colored = player.client.get(url, params=query, headers=plain).text
    assert "\x1b[92m二🙂\x1b[0m" in colored
    assert "\x1b[2J" not in colored
    marked = player.client.get(url, params=query | {"color": "false"}, headers=plain).text
    assert marked.splitlines()[:4] == [
        "# row 5 · alpaca · 7 tokens, 2 trained",
        r"<b>\x1b[2J↵",
        "⟦二🙂⟧",
        "! truncated: 4 tokens beyond max_length=16 are not used",
    ]
    chinese = player.client.get(
        url, params=query | {"color": "false"}, headers=plain | {"Accept-Language": "zh"}
    ).text
    assert "# 第 5 行 · alpaca · 7 个 token，训练 2 个" in chinese
    assert worker.post_claim().status_code == 204  # nothing was rendered again


def test_a_preview_that_no_worker_can_render_is_rejected_immediately(player: Player) -> None:
    dataset = player.upload(rows=2)

    status, error = error_of(player, dataset, model=MODEL)
    assert (status, error["code"], error["param"]) == (400, "model_not_installed", "model")

    player.hello(worker_id="old", models=[MODEL])
    status, error = error_of(player, dataset, model=MODEL)
    assert (status, error["code"]) == (409, "workers_too_old")
    assert "old" in error["message"]

    ErrandWorker(player, models=("tiny-qwen3", "owner/other"))
    status, error = error_of(player, dataset, model="tiny-qwen4")
    assert (status, error["code"]) == (400, "model_not_installed")
    assert "w1: owner/other, tiny-qwen3" in error["hint"]
    assert "tiny-qwen4" in error["message"]


def test_invalid_parameters_are_named(player: Player) -> None:
    ErrandWorker(player)
    dataset = player.upload(rows=2)

    status, error = error_of(player, dataset, model=MODEL, rows="0,2")
    assert (status, error["code"], error["param"]) == (400, "row_not_found", "rows")
    assert "has no row 2; it has 2 rows" in error["message"]
    assert error_of(player, dataset, model=MODEL, rows="0", first=1)[1]["code"] == "not_together"
    for query in (
        {"model": MODEL, "rows": "x"},
        {"model": MODEL, "rows": ",".join(["0"] * 21)},
        {"model": MODEL, "first": 21},
        {"model": MODEL, "max_length": 40_000},
        {"model": "../../etc"},
        {},
    ):
        status, error = error_of(player, dataset, **query)
        assert (status, error["code"]) == (400, "invalid_field"), error
    assert error_of(player, "ds_0000", model=MODEL)[1]["code"] == "dataset_not_found"
    # If the dataset has fewer rows than requested, all of them are shown.
    pending = player.client.get(url_of(dataset), params={"model": MODEL}, headers=NO_WAIT)
    assert pending.status_code == 202, pending.text


def test_a_failure_that_a_retry_cannot_fix_is_reported_with_a_clear_error(player: Player) -> None:
    worker = ErrandWorker(player)
    dataset = player.upload()
    player.client.get(url_of(dataset), params={"model": MODEL}, headers=NO_WAIT)
    failure = {"reason": "model_refused", "detail": "the tokenizer has no vocabulary"}

    worker.finish(worker.claim(), failure=failure)

    status, error = error_of(player, dataset, model=MODEL)
    assert (status, error["code"]) == (400, "preview_failed")
    assert "the tokenizer has no vocabulary" in error["message"]


def test_a_download_is_shared_and_shows_its_progress(player: Player) -> None:
    url = "/v1/models/Qwen/Qwen2-0.5B/prefetch"
    ErrandWorker(player)
    refused = player.client.post(url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "hub_not_enabled")
    assert "w1" in refused.json()["error"]["hint"]
    worker = ErrandWorker(player, "hub", models=None, kinds=("prefetch",))

    begun = player.client.post(url, json={"revision": "main"})
    same = player.client.post(url, json={"revision": "main"})
    assert (begun.status_code, same.json()["id"]) == (202, begun.json()["id"])
    claim = worker.claim()
    assert worker.beat(claim, bytes_done=5, bytes_total=9).status_code == 204

    errand = player.get(begun.headers["Location"])
    assert (errand["kind"], errand["status"], errand["model"], errand["revision"]) == (
        "prefetch",
        "running",
        "Qwen/Qwen2-0.5B",
        "main",
    )
    assert errand["progress"] == {"bytes_done": 5, "bytes_total": 9}
    worker.finish(claim, result={"kind": "prefetch", "revision": "abc", "bytes": 9})
    errand = player.get(begun.headers["Location"])
    assert (errand["status"], errand["revision"], errand["error"]) == ("succeeded", "abc", None)
    assert errand["progress"] == {"bytes_done": 9, "bytes_total": 9}
    for body in ({"revison": "x"}, {"revision": "../x"}):
        assert player.client.post(url, json=body).json()["error"]["code"] == "invalid_field"
    assert player.client.post("/v1/models/../prefetch").status_code in {400, 404, 405}


def test_a_preview_at_a_revision_is_rendered_only_by_workers_that_honour_it(player: Player) -> None:
    old = ErrandWorker(player)
    dataset = player.upload()
    assert error_of(player, dataset, model=MODEL, revision="v1")[1]["code"] == "workers_too_old"
    new = ErrandWorker(player, "w2", kinds=("preview", "preview_revision"))
    pending = player.client.get(
        url_of(dataset), params={"model": MODEL, "revision": "v1"}, headers=NO_WAIT
    )
    assert (pending.status_code, pending.json()["revision"]) == (202, "v1")

    assert old.post_claim().status_code == 204

    request = new.claim().request
    assert isinstance(request, PreviewRequest)
    assert request.revision == "v1"
    assert error_of(player, dataset, model=MODEL, revision="../x")[1]["param"] == "revision"


def test_a_pending_preview_reports_that_its_dataset_was_deleted(
    player: Player, database: Database
) -> None:
    ErrandWorker(player)
    dataset = player.upload()
    pending = player.client.get(url_of(dataset), params={"model": MODEL}, headers=NO_WAIT)
    assert player.client.delete(f"/v1/datasets/{dataset}").status_code == 200

    with pytest.raises(DatasetNotFound):
        read_preview(database, pending.json()["id"], dataset, "en")
