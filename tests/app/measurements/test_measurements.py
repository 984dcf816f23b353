"""Token counts that users request. The tests act as the worker."""

import json
from typing import Any

import pytest

from contracts.errands.measurement import LengthPoint, RefusedRow, SampledRow, TokenBin, TokenCounts
from contracts.model_facts import ModelFacts
from contracts.protocol.wire import ERRAND_DATASET_PATH, ERRAND_TOKEN_HEADER, SHA256_HEADER
from tests.app.errands.errand_worker import MODEL, ErrandWorker
from tests.app.plans.planned import QWEN, body_of, forecast_of
from tests.app.player import WORKER, Player

KINDS = ("preview", "measure")
TOKENIZER = "a" * 64
COUNTS = TokenCounts(
    rows=160,
    measured_rows=160,
    untrained_rows=0,
    refused_rows=0,
    refused=[],
    conversations=160,
    documents=0,
    document_tokens=0,
    tokens=16_000,
    trained_tokens=4000,
    mean=100.0,
    shortest=50,
    p50=90,
    p90=150,
    p95=160,
    p99=180,
    longest=200,
    histogram=[TokenBin(from_tokens=48, to_tokens=256, rows=160)],
    points=[
        LengthPoint(
            max_length=64,
            rows_over=128,
            answers_cut=96,
            dropped_rows=32,
            tokens=8000,
            trained_tokens=1000,
        ),
        LengthPoint(
            max_length=128,
            rows_over=32,
            answers_cut=16,
            dropped_rows=0,
            tokens=14_400,
            trained_tokens=3600,
        ),
        LengthPoint(
            max_length=200,
            rows_over=0,
            answers_cut=0,
            dropped_rows=0,
            tokens=16_000,
            trained_tokens=4000,
        ),
    ],
    sample=[SampledRow(tokens=50, trained=25), SampledRow(tokens=200, trained=25)],
    seconds=1.5,
)


def url_of(dataset: str) -> str:
    return f"/v1/datasets/{dataset}/tokens"


def shown_at(player: Player, dataset: str, max_length: int) -> Any:
    return player.get(url_of(dataset), model=MODEL, max_length=max_length)


def count(player: Player, worker: ErrandWorker, dataset: str, counts: TokenCounts = COUNTS) -> None:
    """Request the counts of a dataset, and deliver them as the worker."""
    begun = player.client.post(url_of(dataset), json={"model": worker.models[0], "again": True})  # type: ignore[index]
    assert begun.status_code == 202, begun.text
    result = {"kind": "measure", "tokenizer": TOKENIZER, "counts": counts.model_dump()}
    assert worker.finish(worker.claim(), result=result).status_code == 204


def warnings_of(player: Player, dataset: str, max_length: int, **headers: str) -> dict[str, str]:
    body = body_of(dataset, training={"max_length": max_length})
    plan = player.client.post("/v1/jobs?dry_run=true", json=body, headers=headers).json()
    return {each["code"]: each["message"] for each in plan["forecast"]["warnings"]}


def test_a_worker_counts_once_and_the_counts_are_used_for_any_length(player: Player) -> None:
    worker = ErrandWorker(player, kinds=KINDS)
    dataset = player.upload(160)
    url = url_of(dataset)

    missing = player.client.get(url, params={"model": MODEL})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "dataset_not_measured")
    assert f'POST {url} with {{"model": "{MODEL}"}}' in missing.json()["error"]["hint"]
    assert worker.post_claim().status_code == 204  # a GET starts nothing
    begun = player.client.post(url, json={"model": MODEL})
    same = player.client.post(url, json={"model": MODEL})
    assert (begun.status_code, begun.json()["kind"]) == (202, "measure")
    assert same.json()["id"] == begun.json()["id"]
    pending = player.client.get(url, params={"model": MODEL})
    assert (pending.status_code, pending.headers["Retry-After"]) == (202, "1")

    claim = worker.claim()
    headers = WORKER | {ERRAND_TOKEN_HEADER: claim.token}
    rows = player.client.get(ERRAND_DATASET_PATH.format(errand_id=claim.errand_id), headers=headers)
    assert (rows.content.count(b"\n"), len(rows.headers[SHA256_HEADER])) == (160, 64)
    assert worker.beat(claim, bytes_done=5, bytes_total=9).status_code == 204
    assert player.get(begun.headers["Location"])["progress"]["bytes_done"] == 5
    result = {"kind": "measure", "tokenizer": TOKENIZER, "counts": COUNTS.model_dump()}
    assert worker.finish(claim, result=result).status_code == 204

    shown = shown_at(player, dataset, 128)
    assert (shown["measured_rows"], shown["p95"], shown["trained_share"]) == (160, 160, 0.25)
    assert shown["cut"] == {
        "max_length": 128,
        "rows_over": 32,
        "answers_cut": 16,
        "dropped_rows": 0,
        "tokens": 14_400,
        "trained_tokens": 3600,
    }
    assert shown["advised_max_length"] == 256
    assert shown_at(player, dataset, 96)["cut"]["rows_over"] == 80
    assert shown_at(player, dataset, 5000)["cut"]["tokens"] == 16_000
    assert shown_at(player, dataset, 1)["cut"]["dropped_rows"] == 158
    again = player.client.post(url, json={"model": MODEL})
    assert (again.status_code, again.json()["object"]) == (200, "dataset.tokens")
    assert player.client.delete(f"/v1/datasets/{dataset}").status_code == 200
    assert player.client.get(url, params={"model": MODEL}).status_code == 404


def test_models_with_the_same_tokenizer_share_the_counts_and_a_changed_one_needs_new_ones(
    player: Player,
) -> None:
    worker = ErrandWorker(player, models=("small", "large"), kinds=KINDS)
    same = [ModelFacts(name=name, tokenizer=TOKENIZER) for name in ("small", "large")]
    player.report_models("w1", *same)
    dataset = player.upload(160)
    count(player, worker, dataset)

    assert player.get(url_of(dataset), model="large")["model"] == "small"
    player.report_models("w1", same[0], ModelFacts(name="large", tokenizer="b" * 64))
    changed = player.client.get(url_of(dataset), params={"model": "large"})
    assert changed.json()["error"]["code"] == "dataset_not_measured"


def test_a_worker_of_an_earlier_version_is_not_asked_to_count(player: Player) -> None:
    dataset = player.upload()
    ErrandWorker(player)

    refused = player.client.post(url_of(dataset), json={"model": MODEL})
    absent = player.client.post(url_of(dataset), json={"model": "other"})

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "workers_too_old")
    assert (absent.status_code, absent.json()["error"]["code"]) == (400, "model_not_installed")
    assert absent.json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("model_refused", 400, "measurement_failed"),
        ("disk_full", 409, "measurement_unavailable"),
    ],
)
def test_a_failure_is_reported_with_its_reason(
    player: Player, reason: str, status: int, code: str
) -> None:
    worker, dataset = ErrandWorker(player, kinds=KINDS), player.upload()
    player.client.post(url_of(dataset), json={"model": MODEL})

    worker.finish(worker.claim(), failure={"reason": reason, "detail": "a detail"})

    response = player.client.get(url_of(dataset), params={"model": MODEL})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert "a detail" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({}, ""),
        ({"model": "../x"}, ""),
        ({"model": MODEL, "agian": True}, ""),
        ({"model": MODEL}, "?max_length=0"),
    ],
)
def test_invalid_requests_are_rejected(player: Player, body: Any, query: str) -> None:
    ErrandWorker(player, kinds=KINDS)

    response = player.client.post(url_of(player.upload()) + query, json=body)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_field")
    assert player.client.post(url_of("ds_0"), json={"model": MODEL}).status_code == 404


def test_a_plan_uses_the_counts_and_warns_of_cut_answers_with_advice(player: Player) -> None:
    worker = ErrandWorker(player, models=(QWEN.name,), kinds=KINDS)
    player.report_models("w1", QWEN)
    dataset = player.upload(160)
    estimated = forecast_of(player, dataset)["tokens"]
    assert estimated["per_row"]["basis"] == "sample"
    assert estimated["note"]["code"] == "tokens_estimated"
    assert f"POST {url_of(dataset)}" in estimated["note"]["message"]

    count(player, worker, dataset)

    tokens = forecast_of(player, dataset, training={"max_length": 128})["tokens"]
    assert tokens["note"] is None
    assert (tokens["per_row"]["value"], tokens["per_row"]["basis"]) == (90.0, "measured")
    assert tokens["per_row"]["high"] == pytest.approx(90.9)
    assert tokens["training"]["value"] == pytest.approx(157 * 90.0)
    assert tokens["supervised_share"]["value"] == pytest.approx(0.25)
    assert tokens["longest"]["value"] == 128
    dropped = forecast_of(player, dataset, training={"max_length": 64})["tokens"]
    assert dropped["per_row"]["value"] == 8000 / 128
    assert dropped["training"]["value"] == pytest.approx(157 * 0.8 * 8000 / 128)

    warnings = warnings_of(player, dataset, 64)
    assert warnings["rows_over_length"] == (
        "Rows longer than training.max_length (64 tokens): 128 (80 %)."
    )
    assert warnings["answers_cut"] == (
        "Rows that lose part of their trained answers at this length: 96. Rows that lose all of them and are skipped: 32. "
        "With training.max_length = 256, fewer than 1 % of the rows are affected."
    )
    assert not {"rows_over_length", "answers_cut"} & warnings_of(player, dataset, 256).keys()
    chinese = warnings_of(player, dataset, 64, **{"Accept-Language": "zh"})
    assert chinese["answers_cut"].endswith("若 training.max_length = 256，受影响的数据不到 1%。")


def test_a_plan_based_on_a_sample_of_the_rows_says_so_and_names_rejected_rows(
    player: Player,
) -> None:
    worker = ErrandWorker(player, models=(QWEN.name,), kinds=KINDS)
    player.report_models("w1", QWEN.model_copy(update={"max_length": 128}))
    dataset = player.upload(320)
    refused = {"refused_rows": 1, "refused": [RefusedRow(row=7, error="no bananas")]}
    count(player, worker, dataset, COUNTS.model_copy(update={"rows": 320, **refused}))

    warnings = warnings_of(player, dataset, 64)

    assert warnings["rows_over_length"].endswith(
        "about 256 (80 %), estimated from a sample of the rows."
    )
    assert warnings["answers_cut"].endswith(
        "the model's maximum context length, 128 tokens, is too short for more than 1 % of the rows."
    )
    assert "Row 7 (counted from 0): no bananas" in warnings["rows_refused"]
    tokens = forecast_of(player, dataset, training={"max_length": 128})["tokens"]
    assert tokens["per_row"]["high"] == pytest.approx(90 * 1.05)


def test_a_plan_of_several_datasets_uses_their_counts_and_names_rejected_rows(
    player: Player,
) -> None:
    worker = ErrandWorker(player, models=(QWEN.name,), kinds=KINDS)
    player.report_models("w1", QWEN)
    first, second = player.upload(160), player.upload(161, "b")
    parts = [{"dataset": first, "weight": 3}, {"dataset": second, "weight": 0.5}]
    mixed: Any = {"dataset": {"train": parts}, "training": {"max_length": 64}}
    refused = {"refused_rows": 1, "refused": [RefusedRow(row=7, error="no bananas")]}
    longer = {"rows": 161, "measured_rows": 161} | refused
    count(player, worker, second, COUNTS.model_copy(update=longer))

    half = player.client.post("/v1/jobs?dry_run=true", json={"model": QWEN.name} | mixed).json()
    note = half["forecast"]["tokens"]["note"]["message"]
    assert f"have not been counted with the model {QWEN.name}: {first}." in note
    assert f"POST {url_of(first)}" in note
    warnings = {each["code"]: each["message"] for each in half["forecast"]["warnings"]}
    assert f"rejects rows of {second}: 1. Row 7 (counted from 0): no" in warnings["rows_refused"]

    count(player, worker, first)

    plan = player.client.post("/v1/jobs?dry_run=true", json={"model": QWEN.name} | mixed).json()
    tokens = plan["forecast"]["tokens"]
    assert tokens["note"] is None
    assert tokens["per_row"]["basis"] == "measured"
    assert tokens["per_row"]["value"] == pytest.approx(8000 / 128, rel=0.01)
    warnings = {each["code"]: each for each in plan["forecast"]["warnings"]}
    # 3 times 128 rows, and about half of another 128.
    assert warnings["rows_over_length"]["values"]["rows"] == pytest.approx(448, abs=2)
    assert warnings["answers_cut"]["values"]["advised_max_length"] == 256
    assert warnings["rows_refused"]["values"]["dataset"] == second


def test_the_steps_of_plain_text_are_estimated_and_exact_once_its_tokens_are_counted(
    player: Player,
) -> None:
    worker = ErrandWorker(player, models=(QWEN.name,), kinds=KINDS)
    player.report_models("w1", QWEN)
    # About 1,300 tokens each.
    lines = "".join(json.dumps({"text": f"{n} " + "token " * 900}) + "\n" for n in range(103))
    upload = player.client.post("/v1/datasets", files={"file": ("a.jsonl", lines.encode())})
    dataset = upload.json()["id"]
    split: Any = {"dataset": {"train": dataset, "eval_size": 3}}

    def plan(**training: int) -> Any:
        body = {"model": QWEN.name, "training": {"max_length": 512} | training} | split
        response = player.client.post("/v1/jobs?dry_run=true", json=body)
        assert response.status_code == 200, response.text
        return response.json()["forecast"]

    estimated = plan()

    steps = estimated["steps"]
    assert steps["basis"] == "sample"
    assert steps["low"] < 100 * 1300 / 512 / 16 < steps["high"]
    assert estimated["tokens"]["per_row"]["value"] == pytest.approx(1300, rel=0.1)
    assert estimated["tokens"]["padding_saved"]["value"] == 0
    documents = {
        "rows": 103,
        "measured_rows": 103,
        "conversations": 0,
        "documents": 103,
        "document_tokens": 103 * 1024,
        "tokens": 103 * 1024,
        "trained_tokens": 103 * 1024,
        "points": [],
        "sample": [{"tokens": 1024, "trained": 1024}],
    }
    count(player, worker, dataset, TokenCounts.model_validate(COUNTS.model_dump() | documents))

    counted = plan()

    # 100 rows of 1,024 tokens make 200 samples of 512 tokens.
    assert (counted["steps"]["value"], counted["steps"]["basis"]) == (13, "measured")
    assert counted["tokens"]["training"]["value"] == pytest.approx(100 * 1024)
    two = plan(epochs=2)
    assert two["steps"]["value"] == 26
    assert two["tokens"]["training"]["value"] == pytest.approx(200 * 1024)
    short = plan(max_steps=5, epochs=2)
    assert (short["steps"]["value"], short["steps"]["basis"]) == (5, "exact")
    assert short["tokens"]["training"]["value"] == pytest.approx(80 * 512)
    assert "epochs (2) is not used" in next(
        each["message"] for each in short["warnings"] if each["code"] == "epochs_ignored"
    )
