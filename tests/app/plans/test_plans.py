"""Plans: forecasts before and after a job has finished, and jobs that fit no device."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.db.engine import Database, database_now
from app.db.plan_tables import StoredPlan
from app.db.tables import Worker
from app.plans.schemas import Note
from app.plans.words import WORDS, message_of
from contracts.attempt import Ability, Device
from contracts.model_facts import ModelFacts
from tests.app.plans.planned import (
    CPU,
    GIB,
    QWEN,
    body_of,
    forecast_of,
    start_worker,
    summary_of,
)
from tests.app.player import Player


def finish_job(player: Player, dataset: str, info: dict[str, Any], **summary: Any) -> str:
    """Submit a job, and claim and finish it as a worker; return its id."""
    job = player.client.post("/v1/jobs", json=body_of(dataset)).json()["id"]
    player.succeed(player.claim(**info), **summary)
    return str(job)


def test_a_dry_run_forecasts_tokens_memory_and_disk_and_says_what_is_unknown(
    player: Player,
) -> None:
    start_worker(player)
    forecast = forecast_of(player, player.upload(160))

    tokens = forecast["tokens"]
    assert tokens["per_row"]["basis"] == "sample"
    assert 20 < tokens["per_row"]["value"] < 60
    assert tokens["training"]["value"] == pytest.approx(157 * tokens["per_row"]["value"])
    assert 0 < tokens["supervised_share"]["value"] < 0.5
    assert 0 < tokens["padding_saved"]["high"] < 1
    (worker,) = forecast["workers"]
    peak = worker["peak_memory_bytes"]
    assert 2 * GIB < peak["low"] < peak["value"] < peak["high"] < 8 * GIB
    assert (peak["basis"], worker["fits"]) == ("formula", True)
    assert 300 < worker["micro_batch_tokens"] <= 512  # at most the 16 rows of an update
    seconds = worker["seconds"]
    assert (seconds["value"], seconds["reason"]["code"]) == (None, "not_measured")
    assert seconds["reason"]["message"].startswith("No job with this model has finished")
    assert forecast["disk"]["checkpoint_bytes"]["value"] == 12 * 64 * 24 * 22_912
    assert (forecast["fits"], forecast["disk"]["most_checkpoints"]) == (True, 3)


def test_a_finished_job_corrects_the_next_forecast(player: Player) -> None:
    info, dataset = start_worker(player), player.upload(163)
    before = forecast_of(player, dataset)["workers"][0]["peak_memory_bytes"]["value"]
    measured = int(1.3 * before)

    job = finish_job(player, dataset, info, **summary_of(measured))

    forecast = forecast_of(player, dataset)
    tokens, (worker,) = forecast["tokens"], forecast["workers"]
    assert (tokens["per_row"]["value"], tokens["per_row"]["basis"]) == (50.0, "model")
    assert tokens["supervised_share"]["value"] == 0.5
    assert worker["peak_memory_bytes"]["basis"] == worker["seconds"]["basis"] == "settings"
    assert worker["peak_memory_bytes"]["value"] == pytest.approx(measured, rel=0.05)
    assert worker["seconds"]["value"] == pytest.approx(93.0, rel=0.02)
    assert worker["seconds"]["low"] < 93 < worker["seconds"]["high"]
    other = forecast_of(player, dataset, training={"epochs": 3, "max_length": 512})
    assert other["seconds"]["basis"] == "model"
    assert other["seconds"]["value"] == pytest.approx(93 + 2 * 61, rel=0.1)
    plan = player.get(f"/v1/jobs/{job}/plan")
    assert plan["actual"]["peak_memory_bytes"] == measured
    assert plan["actual"]["predicted_memory_bytes"] == before
    assert (plan["actual"]["seconds"], plan["actual"]["predicted_seconds"]) == (93.0, None)
    assert plan["actual"]["tokens"] == 8000


def test_a_forecast_weighs_the_rows_of_several_datasets_and_learns_from_the_same_mixture(
    player: Player,
) -> None:
    info = start_worker(player) | {"abilities": [Ability.MIX_DATASETS.value]}
    player.hello(**info)
    short, long = player.upload(40), player.upload(40, "many more words " * 20)

    def per_row(*weights: float) -> Any:
        train = [
            {"dataset": dataset, "weight": weight}
            for dataset, weight in zip((short, long), weights, strict=True)
        ]
        body = body_of("") | {"dataset": {"train": train}}
        response = player.client.post("/v1/jobs?dry_run=true", json=body)
        return body, response.json()["forecast"]["tokens"]["per_row"]

    alone = [forecast_of(player, each)["tokens"]["per_row"]["value"] for each in (short, long)]
    body, mixed = per_row(3, 1)
    assert mixed["value"] == pytest.approx((3 * alone[0] + alone[1]) / 4, rel=0.05)
    assert per_row(1, 3)[1]["value"] == pytest.approx((alone[0] + 3 * alone[1]) / 4, rel=0.05)

    assert player.client.post("/v1/jobs", json=body).status_code == 201
    player.succeed(player.claim(**info), **summary_of(2**31))

    assert per_row(3, 1)[1] | {"value": 50.0, "basis": "model"} == per_row(3, 1)[1]
    assert per_row(1, 3)[1]["basis"] == "sample"


def test_several_results_determine_the_error_band(player: Player) -> None:
    info, dataset = start_worker(player), player.upload(163)
    for peak in (4, 5, 6):
        finish_job(player, dataset, info, **summary_of(peak * GIB))

    found = forecast_of(player, dataset)["workers"][0]["peak_memory_bytes"]

    assert found["value"] == pytest.approx(5 * GIB, rel=0.05)
    assert found["low"] < 4 * GIB
    assert found["high"] > 6 * GIB


def test_a_finished_job_does_not_correct_forecasts_for_another_kind_of_device(
    player: Player,
) -> None:
    info, dataset = start_worker(player), player.upload(163)
    finish_job(player, dataset, info, **summary_of(5 * GIB))
    start_worker(player, CPU.model_copy(update={"name": "another CPU"}), "worker-2")

    known, unknown = forecast_of(player, dataset)["workers"]

    assert (known["worker"], known["seconds"]["basis"]) == ("worker-1", "settings")
    assert (unknown["worker"], unknown["seconds"]["value"]) == ("worker-2", None)


def test_corrections_from_a_deleted_job_are_kept(player: Player) -> None:
    info, dataset = start_worker(player), player.upload(163)
    job = finish_job(player, dataset, info, **summary_of(5 * GIB))

    player.client.delete(f"/v1/jobs/{job}")

    assert player.client.get(f"/v1/jobs/{job}/plan").status_code == 404
    assert forecast_of(player, dataset)["seconds"]["basis"] == "settings"


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"choices": {"token_budget": 7, "compute_dtype": {"value": [1]}}},
        {"tokens_per_second": float("nan")},
        {"tokens_per_second": 1e308, "samples_per_second": 1e-308},
        {"phases": {"training": float("inf"), "loading": -1.0}},
        {"peak_memory_bytes": 2**200},
        {"steps": 10**30, "train_rows": 10**30},
    ],
)
def test_an_implausible_summary_fails_neither_the_job_nor_a_forecast(
    player: Player, summary: dict[str, Any]
) -> None:
    info, dataset = start_worker(player), player.upload()

    job = finish_job(player, dataset, info, **summary_of(5 * GIB, **summary) if summary else {})

    assert player.job(job)["status"] == "succeeded"
    assert player.client.get(f"/v1/jobs/{job}/plan").status_code == 200
    assert forecast_of(player, dataset)["workers"]


def test_a_plan_is_kept_with_the_job_and_read_in_both_languages(player: Player) -> None:
    job = player.submit(dataset={"train": {"hub": "owner/rows"}})
    path = f"/v1/jobs/{job}/plan"

    english = player.get(path)
    chinese = player.client.get(path, headers={"Accept-Language": "zh"}).json()

    assert (english["object"], english["job"], english["actual"]) == ("job.plan", job, None)
    reasons = [plan["forecast"]["tokens"]["per_row"]["reason"] for plan in (english, chinese)]
    assert [reason["code"] for reason in reasons] == ["rows_unknown"] * 2
    assert reasons[0]["message"] == WORDS["rows_unknown"]["en"]
    assert reasons[1]["message"] == WORDS["rows_unknown"]["zh"]
    assert english["forecast"]["reason"]["code"] == "no_worker"
    assert player.client.get("/v1/jobs/job_0/plan").status_code == 404


def test_the_whole_plan_of_the_dry_run_is_kept_with_the_job_and_its_warnings_in_both_languages(
    player: Player, database: Database
) -> None:
    start_worker(player)
    dataset = player.upload(40)
    body = body_of(dataset) | {"dataset": {"train": dataset, "eval": dataset}}
    planned = player.client.post("/v1/jobs?dry_run=true", json=body).json()
    job = player.client.post("/v1/jobs", json=body).json()["id"]
    path = f"/v1/jobs/{job}/plan"

    kept = player.get(path)
    chinese = player.client.get(path, headers={"Accept-Language": "zh"}).json()

    assert planned["data_warnings"]
    kept_names = ("train_rows", "eval_rows", "steps", "evaluation", "model", "gpus", "forecast")
    for name in (*kept_names, "data_warnings"):
        assert kept[name] == planned[name], name
    codes = [[each["code"] for each in plan["data_warnings"]] for plan in (kept, chinese)]
    assert codes[0] == codes[1]
    assert kept["data_warnings"] != chinese["data_warnings"]

    with database.writing() as session:  # as an earlier version stored it
        stored = session.get_one(StoredPlan, job)
        stored.forecast = {name: each for name, each in stored.forecast.items() if name != "kept"}
    old = player.get(path)
    assert (old["forecast"], old["train_rows"]) == (kept["forecast"], None)
    assert old["data_warnings"] is None


def test_known_offline_workers_are_listed_apart_with_their_devices(
    player: Player, database: Database
) -> None:
    start_worker(player, Device(kind="cuda", name="far", memory_bytes=24 * GIB), "gone")
    start_worker(player, worker="without", facts=ModelFacts(name="other"))
    with database.writing() as session:
        session.execute(
            update(Worker).values(last_seen_at=database_now(session) - timedelta(hours=1))
        )
    dataset = player.upload()

    alone = forecast_of(player, dataset)
    start_worker(player)
    both = forecast_of(player, dataset)

    assert (alone["workers"], alone["reason"]["code"]) == ([], "no_worker")
    for forecast in (alone, both):
        (offline,) = forecast["offline_workers"]
        assert (offline["worker"], offline["device"], offline["fits"]) == ("gone", "far", True)
    assert [each["worker"] for each in both["workers"]] == ["worker-1"]


def test_a_job_that_fits_no_device_waits_with_that_reason_until_a_larger_one_is_online(
    player: Player,
) -> None:
    small = start_worker(player, Device(kind="cuda", name="small", memory_bytes=GIB // 2))
    small["models"] = None  # it can also download models
    player.hello(**small)
    job = player.client.post("/v1/jobs", json=body_of(player.upload())).json()

    waiting = player.job(job["id"])["waiting"]
    assert (waiting["code"], waiting["largest_bytes"]) == ("too_little_memory", GIB // 2)
    assert waiting["needed_bytes"] > GIB // 2
    assert "the largest device of the online workers has 0.5 GiB" in waiting["message"]
    assert player.post_claim(**small).status_code == 204
    later = player.submit(model="other", dataset={"train": player.upload()})
    assert player.claim(**small).job_id == later

    large = start_worker(player, Device(kind="cuda", name="l", memory_bytes=24 * GIB), "worker-2")

    assert player.job(job["id"])["waiting"] is None
    assert player.claim(**large).job_id == job["id"]


def test_a_set_budget_that_a_cpu_would_not_lower_does_not_fit_and_one_on_a_gpu_is_lowered(
    player: Player,
) -> None:
    engine = {"token_budget": 16_384, "activation_checkpointing": False}
    batch = {"per_device_batch_size": 1000, "gradient_accumulation_steps": 1}
    settings = {"engine": engine, "training": {"epochs": 1, **batch}}
    dataset = player.upload(1100)
    start_worker(player)

    on_cpu = forecast_of(player, dataset, **settings)
    body = body_of(dataset, **settings)
    refused = player.client.post("/v1/jobs?require_fit=true&dry_run=true", json=body)
    start_worker(player, Device(kind="cuda", name="g", memory_bytes=8 * GIB), "worker-2")
    on_gpu = forecast_of(player, dataset, **settings)

    (worker,) = on_cpu["workers"]
    assert (on_cpu["fits"], worker["fits"]) == (False, False)
    assert on_cpu["reason"]["values"] == {
        "needed_bytes": worker["least_memory_bytes"],
        "largest_bytes": 16 * GIB,
    }
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "does_not_fit")
    assert on_gpu["fits"] is True
    assert on_gpu["workers"][0]["peak_memory_bytes"]["value"] < 8 * GIB
    (warning,) = [each for each in on_gpu["warnings"] if each["code"] == "budget_lowered"]
    assert warning["values"]["lowered"] == on_gpu["workers"][0]["micro_batch_tokens"] < 16_384
    assert warning["values"]["needed_bytes"] > 20 * GIB
    assert warning["values"]["available_bytes"] < 7.5 * GIB, "the context takes a part"


@pytest.mark.parametrize("query", ["require_fit=true", "require_fit=true&dry_run=true"])
def test_require_fit_rejects_a_job_with_both_sizes_and_advice(player: Player, query: str) -> None:
    start_worker(player, Device(kind="cuda", name="small", memory_bytes=GIB // 2))

    response = player.client.post(f"/v1/jobs?{query}", json=body_of(player.upload()))

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "does_not_fit")
    assert error["param"] == "require_fit"
    assert "has 0.5 GiB" in error["message"]
    assert "training.max_length" in error["hint"]
    assert player.get("/v1/jobs")["data"] == []


def test_require_fit_accepts_a_job_that_fits_and_rejects_one_that_cannot_be_judged(
    player: Player,
) -> None:
    start_worker(player)
    start_worker(player, worker="worker-2", facts=ModelFacts(name="plain"))
    dataset = player.upload()

    fits = player.client.post("/v1/jobs?require_fit=true", json=body_of(dataset))
    unknown = player.client.post("/v1/jobs?require_fit=true", json=body_of(dataset, model="plain"))

    assert fits.status_code == 201
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (409, "does_not_fit")
    assert WORDS["sizes_unknown"]["en"] in unknown.json()["error"]["message"]


def test_a_plan_warns_of_truncated_rows_and_expensive_evaluations(player: Player) -> None:
    start_worker(player)
    rows = '{"instruction": "a", "output": "%s"}\n' % ("word " * 200)
    dataset = player.client.post("/v1/datasets", files={"file": ("long.jsonl", rows * 40)}).json()[
        "id"
    ]

    forecast = forecast_of(
        player, dataset, training={"max_length": 64}, evaluation={"every_steps": 1}
    )

    codes = {warning["code"]: warning["message"] for warning in forecast["warnings"]}
    assert "about 100 %, estimated from characters" in codes["rows_over_length"]
    assert codes["answers_cut"].endswith(
        "With training.max_length = 320, fewer than 1 % of the rows are affected."
    )
    assert forecast["tokens"]["longest"]["value"] == 64


def test_large_numbers_in_a_message_have_all_digits() -> None:
    note = Note(code="no_checkpoint", values={"steps": 1_234_567, "every_steps": 2_000_000})

    assert "1,234,567 steps" in message_of(note, "en")
    assert "2,000,000 步" in message_of(note, "zh")


def test_every_note_has_a_text_in_both_languages() -> None:
    assert all(set(words) == {"en", "zh"} and all(words.values()) for words in WORDS.values())


def test_the_model_of_these_tests_has_the_published_dimensions() -> None:
    assert QWEN.sizes is not None
    assert sum(QWEN.sizes.adapter_sides.values()) == 24 * 22_912
